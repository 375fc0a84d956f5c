import { Link } from "wouter";
import { add } from "../basket";
import { graphql, unmask, type FragmentType } from "../gql";
import { Price, Tile } from "./basics";

const ProductCardFragment = graphql(`
  fragment ProductCard on Product {
    id name description stock price { ...Money } store { id name city }
  }
`);

const ProductListFragment = graphql(`
  fragment ProductList on ProductConnection {
    nodes { id ...ProductCard }
    pageInfo { hasNextPage endCursor }
  }
`);

/** The pages of a list that have been read, and a button to read the next one. */
export function ProductList(props: {
  products: FragmentType<typeof ProductListFragment>;
  fetching: boolean;
  onMore: (after: string | null | undefined) => void;
}) {
  const { nodes, pageInfo } = unmask(ProductListFragment, props.products);
  const { fetching, onMore } = props;
  return (
    <>
      <ul className="cards">{nodes.map((product) => <ProductCard key={product.id} product={product} />)}</ul>
      {pageInfo.hasNextPage && (
        <button className="more" disabled={fetching} onClick={() => onMore(pageInfo.endCursor)}>More</button>
      )}
    </>
  );
}

function ProductCard(props: { product: FragmentType<typeof ProductCardFragment> }) {
  const { id, name, description, stock, price, store } = unmask(ProductCardFragment, props.product);
  return (
    <li className="card">
      <Tile name={name} />
      <h2><Link href={`/products/${id}`}>{name}</Link></h2>
      <p>{description}</p>
      <p className="quiet">{store.name}, {store.city}</p>
      <footer>
        <Price of={price} />
        <AddToBasket id={id} name={name} stock={stock} />
      </footer>
    </li>
  );
}

export function AddToBasket({ id, name, stock }: { id: string; name: string; stock: number | null | undefined }) {
  if (stock === 0) return <span className="quiet">Sold out</span>;
  return <button aria-label={`Add ${name} to the basket`} onClick={() => add(id)}>Add</button>;
}
