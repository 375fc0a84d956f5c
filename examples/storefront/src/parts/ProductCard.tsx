import { Link } from "wouter";
import { add } from "../basket";
import { graphql, unmask, type FragmentType } from "../gql";
import { Price, Tile } from "./basics";

const ProductCardFragment = graphql(`
  fragment ProductCard on Product {
    id name description stock price { ...Money } store { id name city }
  }
`);

export function ProductCard(props: { product: FragmentType<typeof ProductCardFragment> }) {
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
