import { useState, type FormEvent } from "react";
import { useMutation, useQuery } from "urql";
import { Link, useLocation } from "wouter";
import { put, remove, renewKey, useBasket } from "../basket";
import { graphql, unmask, type FragmentType } from "../gql";
import type { PlaceOrderMutation } from "../gql/graphql";
import { login } from "../login";
import { Page, Price, Problem } from "../parts/basics";
import { messageOf, unexpected } from "../results";

const BasketLineFragment = graphql(`
  fragment BasketLine on Product {
    id name price { ...Money } store { id name }
  }
`);

const Basket = graphql(`
  query Basket($ids: [ID!]!) {
    nodes(ids: $ids) { __typename id ...BasketLine }
  }
`);

/** Selects the stock of the ordered products, so that every page shows the new value. */
const PlaceOrder = graphql(`
  mutation PlaceOrder($input: PlaceOrderInput!) {
    placeOrder(input: $input) {
      __typename
      ... on Order { id items { id product { id stock } } }
      ... on InsufficientStock { shortages { requested available product { id name stock } } }
      ... on InvalidInput { message issues { message } }
      ... on NotFound { id message }
    }
  }
`);

type Refusal = Exclude<PlaceOrderMutation["placeOrder"], { __typename: "Order" }>;

export function BasketPage() {
  const { key, quantities } = useBasket();
  const ids = Object.keys(quantities);
  const [{ data, error }] = useQuery({ query: Basket, variables: { ids }, pause: ids.length === 0 });
  const [{ fetching, error: failure }, placeOrder] = useMutation(PlaceOrder);
  const [refused, setRefused] = useState<{ quantities: typeof quantities; why: Refusal }>();
  const [, navigate] = useLocation();
  const isLoggedIn = login.use() !== null;

  async function order(event: FormEvent) {
    event.preventDefault();
    const items = ids.map((productId) => ({ productId, quantity: quantities[productId] ?? 0 }));
    const answer = await placeOrder({ input: { items } }, { fetchOptions: { headers: { "Idempotency-Key": key } } });
    const result = answer.data?.placeOrder;
    if (!result) return; // a retry uses the same key, so the order is placed only once
    if (result.__typename === "Order") {
      renewKey({});
      navigate(`/orders/${result.id}`);
    } else {
      renewKey();
      setRefused({ quantities, why: result });
    }
  }

  return (
    <Page title="Basket">
      {(error ?? failure) && <Problem>{messageOf(error ?? failure)}</Problem>}
      {refused?.quantities === quantities && <Problem><Reason of={refused.why} /></Problem>}
      {ids.length === 0 ? (
        <p>Your basket is empty. <Link href="/">Browse the catalog</Link></p>
      ) : (
        <form onSubmit={order}>
          <ul className="lines">
            {data?.nodes.map((node) => node?.__typename === "Product" && node.id in quantities && (
              <BasketLine key={node.id} product={node} quantity={quantities[node.id] ?? 0} />
            ))}
          </ul>
          {isLoggedIn
            ? <button className="main" disabled={fetching}>Place the order</button>
            : <Link className="button main" href="/checkout">Log in to order</Link>}
        </form>
      )}
    </Page>
  );
}

function BasketLine(props: { product: FragmentType<typeof BasketLineFragment>; quantity: number }) {
  const { id, name, price, store } = unmask(BasketLineFragment, props.product);
  return (
    <li>
      <div>
        <Link href={`/products/${id}`}>{name}</Link>
        <p className="quiet">{store.name}</p>
      </div>
      <input
        type="number"
        min={1}
        max={10_000}
        required
        aria-label={`Quantity of ${name}`}
        value={props.quantity || ""}
        onChange={({ target }) => put(id, target.valueAsNumber || 0)}
      />
      <Price of={price} />
      <button type="button" className="plain" aria-label={`Remove ${name}`} onClick={() => remove(id)}>✕</button>
    </li>
  );
}

function takeTheRest({ product, available }: { product: { id: string }; available: number }) {
  return available > 0 ? put(product.id, available) : remove(product.id);
}

/** Explains why nothing was ordered. */
function Reason({ of: refusal }: { of: Refusal }) {
  switch (refusal.__typename) {
    case "InsufficientStock":
      return (
        <>
          {refusal.shortages.map(({ product, requested, available }) => (
            <p key={product.id}>You asked for {requested} of <strong>{product.name}</strong>, but only {available} are left.</p>
          ))}
          <button onClick={() => refusal.shortages.forEach(takeTheRest)}>Take the remaining ones</button>
        </>
      );
    case "NotFound":
      return <p>A product is no longer for sale. <button onClick={() => remove(refusal.id)}>Remove it</button></p>;
    case "InvalidInput":
      return refusal.issues.map(({ message }) => <p key={message}>{message}</p>);
    default:
      return unexpected(refusal);
  }
}
