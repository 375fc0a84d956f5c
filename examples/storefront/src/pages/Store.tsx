import { useState } from "react";
import { useQuery } from "urql";
import { graphql } from "../gql";
import { counted, Missing, Page, Problem } from "../parts/basics";
import { ProductList } from "../parts/ProductCard";
import { isMissing, messageOf } from "../results";

const Store = graphql(`
  query Store($id: ID!, $after: String) {
    store(id: $id) {
      id name street postcode city country
      products(first: 12, after: $after) { totalCount totalCountIsExact ...ProductList }
    }
  }
`);

export function StorePage({ id }: { id: string }) {
  const [after, setAfter] = useState<string | null>();
  const [{ data, error, fetching }, read] = useQuery({ query: Store, variables: { id, after } });
  const store = data?.store;
  if (isMissing(error) || (data && !error && !store)) return <Missing what="Store" />;
  return (
    <Page title={store?.name ?? "Store"}>
      {error && <Problem retry={read}>{messageOf(error)}</Problem>}
      {store && (
        <>
          <p className="quiet">{store.street}, {store.postcode} {store.city}, {store.country}</p>
          <p>{counted(store.products.totalCount, "product", store.products.totalCountIsExact)}</p>
          <ProductList products={store.products} fetching={fetching} onMore={setAfter} />
        </>
      )}
    </Page>
  );
}
