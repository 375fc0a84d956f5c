import { useEffect, useState } from "react";
import { useQuery } from "urql";
import { useSearchParams } from "wouter";
import { graphql } from "../gql";
import { counted, Page, Problem } from "../parts/basics";
import { ProductList } from "../parts/ProductCard";
import { messageOf } from "../results";

const Catalog = graphql(`
  query Catalog($search: String, $after: String) {
    products(first: 12, after: $after, filter: { search: $search }) {
      totalCount
      totalCountIsExact
      ...ProductList
    }
  }
`);

export function CatalogPage() {
  const [parameters, setParameters] = useSearchParams();
  const typed = parameters.get("search") ?? "";
  const search = useSettled(typed);
  const [page, setPage] = useState<{ of: string; after?: string | null }>({ of: search });
  const after = page.of === search ? page.after : null;
  const [{ data, error, fetching }, read] = useQuery({ query: Catalog, variables: { search: search || null, after } });
  const products = data?.products;

  return (
    <Page title="Catalog">
      <form role="search" onSubmit={(event) => event.preventDefault()}>
        <input
          type="search"
          aria-label="Search the catalog"
          placeholder="Search: tea, lamp, creme …"
          value={typed}
          onChange={({ target: { value } }) => setParameters(value ? { search: value } : {}, { replace: true })}
        />
        <p role="status" className="quiet">{fetching ? "Searching…" : products && counted(products.totalCount, "product", products.totalCountIsExact)}</p>
      </form>
      {error && <Problem retry={read}>{messageOf(error)}</Problem>}
      {products?.totalCount === 0 && !fetching && (
        <p>Nothing matches “{search}”. <button onClick={() => setParameters({})}>Show all products</button></p>
      )}
      {products && (
        <ProductList products={products} fetching={fetching} onMore={(after) => setPage({ of: search, after })} />
      )}
    </Page>
  );
}

/** Returns the text after a pause in typing. */
function useSettled(typed: string) {
  const [settled, settle] = useState(typed);
  useEffect(() => {
    const timer = setTimeout(() => settle(typed), 200);
    return () => clearTimeout(timer);
  }, [typed]);
  return settled;
}
