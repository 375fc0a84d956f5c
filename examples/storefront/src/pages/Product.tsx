import { useSubscription } from "urql";
import { Link } from "wouter";
import { graphql } from "../gql";
import { Missing, Page, Price, Problem, Tile } from "../parts/basics";
import { AddToBasket } from "../parts/ProductCard";
import { isMissing, messageOf } from "../results";

/** The first event has the current state of the product, so the page needs no query. */
const ProductUpdated = graphql(`
  subscription ProductUpdated($id: ID!) {
    productUpdated(productId: $id) {
      product {
        id name description stock price { ...Money }
        store { id name street postcode city country }
      }
    }
  }
`);

export function ProductPage({ id }: { id: string }) {
  const [{ data, error }] = useSubscription({ query: ProductUpdated, variables: { id } });
  const product = data?.productUpdated.product;
  if (isMissing(error)) return <Missing what="Product" />;
  return (
    <Page title={product?.name ?? "Product"}>
      {error && <Problem>{messageOf(error)}</Problem>}
      {product && (
        <article className="product">
          <Tile name={product.name} />
          <div>
            <p className="lead">{product.description}</p>
            <p><Price of={product.price} /></p>
            <p role="status" className="quiet">{inStock(product.stock)}</p>
            <AddToBasket id={id} name={product.name} stock={product.stock} />
            <address>
              Sold by <Link href={`/stores/${product.store.id}`}>{product.store.name}</Link><br />
              {product.store.street}, {product.store.postcode} {product.store.city}, {product.store.country}
            </address>
          </div>
        </article>
      )}
    </Page>
  );
}

function inStock(stock: number | null | undefined) {
  if (stock === 0) return "Sold out";
  return stock == null ? "Always in stock" : `${stock} in stock`;
}
