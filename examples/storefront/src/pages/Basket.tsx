import { type FormEvent } from "react";
import { useMutation, useQuery } from "urql";
import { Link, useLocation } from "wouter";
import { put, remove, renewKey, useBasket } from "../basket";
import { graphql, unmask, type FragmentType } from "../gql";
import type { QuoteQuery } from "../gql/graphql";
import { login } from "../login";
import { Page, Price, Problem } from "../parts/basics";
import { messageOf, unexpected } from "../results";

const BasketLineFragment = graphql(`
  fragment BasketLine on QuoteLine {
    product { id name store { id name } }
    lineTotal { ...Money }
  }
`);

/** What the basket costs now. A product that is short is still in it. */
const Quote = graphql(`
  query Quote($input: PlaceOrderInput!) {
    quoteOrder(input: $input) {
      __typename
      ... on Quote {
        lines { product { id } ...BasketLine }
        totals { currency ...Money }
        shortages { requested available product { id name stock } }
      }
      ... on InvalidInput { issues { message } }
      ... on NotFound { missingId }
    }
  }
`);

/** Selects the stock of the ordered products, so that every page shows the new value. */
const PlaceOrder = graphql(`
  mutation PlaceOrder($input: PlaceOrderInput!) {
    placeOrder(input: $input) {
      __typename
      ... on PlaceOrderSuccess { order { id items { id product { id stock } } } }
      ... on Error { message }
    }
  }
`);

type QuoteResult = NonNullable<QuoteQuery["quoteOrder"]>;
type Quote = Extract<QuoteResult, { __typename: "Quote" }>;

const MOST = 10_000;

export function BasketPage() {
  const { key, quantities } = useBasket();
  const ids = Object.keys(quantities);
  // An empty or exceeded quantity can't be ordered, and until it is corrected, the nearest one is quoted.
  const items = ids.map((id) => ({ productId: id, quantity: Math.min(Math.max(quantities[id] ?? 1, 1), MOST) }));
  const variables = { input: { items } };
  const [{ data, error, fetching }, read] = useQuery({ query: Quote, variables, pause: ids.length === 0 });
  const [{ fetching: ordering, error: failure }, placeOrder] = useMutation(PlaceOrder);
  const [, navigate] = useLocation();
  const isLoggedIn = login.use() !== null;
  const quote = data?.quoteOrder;

  async function order(event: FormEvent) {
    event.preventDefault();
    const answer = await placeOrder(variables, { fetchOptions: { headers: { "Idempotency-Key": key } } });
    const result = answer.data?.placeOrder;
    switch (result?.__typename) {
      case undefined:
        return; // a retry uses the same key, so the order is placed only once
      case "PlaceOrderSuccess":
        renewKey({});
        return navigate(result.order ? `/orders/${result.order.id}` : "/orders");
      case "InsufficientStock":
      case "InvalidInput":
      case "NotFound":
        renewKey();
        return read({ requestPolicy: "network-only" }); // a new quote shows the reason
      default:
        return unexpected(result);
    }
  }

  return (
    <Page title="Basket">
      {(error ?? failure) && <Problem>{messageOf(error ?? failure)}</Problem>}
      {ids.length === 0 && <p>Your basket is empty. <Link href="/">Browse the catalog</Link></p>}
      {ids.length > 0 && quote && (
        <form onSubmit={order}>
          <Obstacles of={quote} />
          {quote.__typename === "Quote" && (
            <ul className="lines">
              {quote.lines.map((line) => line.product.id in quantities && (
                <BasketLine key={line.product.id} line={line} quantity={quantities[line.product.id] ?? 0} />
              ))}
              <li aria-label="Total">
                <strong>Total</strong>
                <div className="totals">{quote.totals.map((total) => <Price key={total.currency} of={total} />)}</div>
              </li>
            </ul>
          )}
          {isLoggedIn
            ? <button className="main" disabled={ordering || fetching || !isPossible(quote)}>Place the order</button>
            : <Link className="button main" href="/checkout">Log in to order</Link>}
        </form>
      )}
    </Page>
  );
}

function isPossible(quote: QuoteResult) {
  return quote.__typename === "Quote" && quote.shortages.length === 0;
}

function BasketLine(props: { line: FragmentType<typeof BasketLineFragment>; quantity: number }) {
  const { product: { id, name, store }, lineTotal } = unmask(BasketLineFragment, props.line);
  return (
    <li>
      <div>
        <Link href={`/products/${id}`}>{name}</Link>
        <p className="quiet"><Link href={`/stores/${store.id}`}>{store.name}</Link></p>
      </div>
      <input
        type="number"
        min={1}
        max={MOST}
        required
        aria-label={`Quantity of ${name}`}
        value={props.quantity || ""}
        onChange={({ target }) => put(id, target.valueAsNumber || 0)}
      />
      <Price of={lineTotal} />
      <button type="button" className="plain" aria-label={`Remove ${name}`} onClick={() => remove(id)}>✕</button>
    </li>
  );
}

/** Explains why the basket can't be ordered, if it can't. */
function Obstacles({ of: quote }: { of: QuoteResult }) {
  switch (quote.__typename) {
    case "Quote":
      return quote.shortages.length > 0 && <Shortages of={quote.shortages} />;
    case "NotFound":
      return (
        <Problem>
          A product is no longer for sale.{" "}
          <button type="button" onClick={() => remove(quote.missingId)}>Remove it</button>
        </Problem>
      );
    case "InvalidInput":
      return <Problem>{quote.issues.map(({ message }) => <p key={message}>{message}</p>)}</Problem>;
    default:
      return unexpected(quote);
  }
}

function Shortages({ of: shortages }: { of: Quote["shortages"] }) {
  return (
    <Problem>
      {shortages.map(({ product, requested, available }) => (
        <p key={product.id}>
          You want {requested} of <strong>{product.name}</strong>, but the store has {available ? `only ${available}` : "none"}.
        </p>
      ))}
      <button type="button" onClick={() => shortages.forEach(takeTheRest)}>Take the remaining ones</button>
    </Problem>
  );
}

function takeTheRest({ product, available }: Quote["shortages"][number]) {
  return available > 0 ? put(product.id, available) : remove(product.id);
}
