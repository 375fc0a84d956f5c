import { useMutation, useSubscription } from "urql";
import { Link } from "wouter";
import { graphql, unmask, type FragmentType } from "../gql";
import { Missing, Moment, Page, Price, Problem } from "../parts/basics";
import { Badge, Track } from "../parts/OrderStatus";
import { isMissing, messageOf } from "../results";

const PartFragment = graphql(`
  fragment Part on StoreOrder {
    status declineReason total { ...Money }
    store { id name }
    items { id quantity productName fulfilledAt lineTotal { ...Money } product { id } }
  }
`);

/** The first event has the current state of the order; later ones follow each change. */
const OrderUpdated = graphql(`
  subscription OrderUpdated($id: ID!) {
    orderUpdated(orderId: $id) {
      order { id number placedAt status totals { currency ...Money } storeOrders { id ...Part } }
    }
  }
`);

/** Selects the stock of the products, which was returned. */
const CancelOrder = graphql(`
  mutation CancelOrder($id: ID!) {
    cancelOrder(input: { id: $id }) {
      __typename
      ... on CancelOrderSuccess { order { id status items { id product { id stock } } } }
      ... on InvalidTransition { message }
      ... on NotFound { message }
    }
  }
`);

export function OrderPage({ id }: { id: string }) {
  const [{ data, error }] = useSubscription({ query: OrderUpdated, variables: { id } });
  const [cancellation, cancel] = useMutation(CancelOrder);
  const result = cancellation.data?.cancelOrder;
  const order = data?.orderUpdated.order;
  if (isMissing(error)) return <Missing what="Order" />;
  return (
    <Page title={order ? `Order ${order.number}` : "Order"}>
      {(error ?? cancellation.error) && <Problem>{messageOf(error ?? cancellation.error)}</Problem>}
      {result && result.__typename !== "CancelOrderSuccess" && <Problem>{result.message}</Problem>}
      {order && (
        <>
          <Track status={order.status} />
          {order.storeOrders.map((part) => <Part key={part.id} part={part} />)}
          <ul className="lines">
            <li>
              <div>Placed <Moment at={order.placedAt} /></div>
              <div className="totals">{order.totals.map((total) => <Price key={total.currency} of={total} />)}</div>
            </li>
          </ul>
          {order.status === "PLACED" && (
            <button disabled={cancellation.fetching} onClick={() => confirm("Cancel this order?") && cancel({ id })}>
              Cancel the order
            </button>
          )}
        </>
      )}
    </Page>
  );
}

/** What one store sells of an order. */
function Part(props: { part: FragmentType<typeof PartFragment> }) {
  const { status, declineReason, total, store, items } = unmask(PartFragment, props.part);
  return (
    <section aria-label={store.name}>
      <h2><Link href={`/stores/${store.id}`}>{store.name}</Link> <Badge status={status} /></h2>
      {declineReason && <p>The store can’t fulfill this: “{declineReason}”</p>}
      <ul className="lines">
        {items.map(({ id, quantity, productName, product, fulfilledAt, lineTotal }) => (
          <li key={id}>
            <div>
              {quantity} × <Link href={`/products/${product.id}`}>{productName}</Link>
              {fulfilledAt && <p className="quiet">Sent <Moment at={fulfilledAt} /></p>}
            </div>
            <Price of={lineTotal} />
          </li>
        ))}
        {items.length > 1 && <li><div>Subtotal</div><Price of={total} /></li>}
      </ul>
    </section>
  );
}
