import { useCallback, useEffect, type FormEvent } from "react";
import { useMutation, useQuery, useSubscription } from "urql";
import { Link } from "wouter";
import { RECONNECTED } from "../client";
import { graphql, unmask, type FragmentType } from "../gql";
import type { DeclineMutation, FulfillMutation } from "../gql/graphql";
import { Missing, Moment, Page, Price, Problem } from "../parts/basics";
import { isCode, isMissing, messageOf } from "../results";

const StoreOrderFragment = graphql(`
  fragment StoreOrder on StoreOrder {
    id number status placedAt customerName note total { ...Money }
    items { id quantity productName fulfilledAt }
  }
`);

const StoreOrders = graphql(`
  query StoreOrders($id: ID!) {
    store(id: $id) {
      id name
      orders(first: 50, filter: { status: [OPEN] }) { nodes { id status ...StoreOrder } }
    }
  }
`);

/** The cache adds each event to the start of the store's orders. */
const StoreOrderPlaced = graphql(`
  subscription StoreOrderPlaced($storeId: ID!) {
    storeOrderPlaced(storeId: $storeId) { storeOrder { id status customerName ...StoreOrder } }
  }
`);

/** Follows what others do, such as the customer who cancels: the cache updates the order in the list. */
const StoreOrderUpdated = graphql(`
  subscription StoreOrderUpdated($id: ID!) {
    storeOrderUpdated(storeOrderId: $id) { storeOrder { id ...StoreOrder } }
  }
`);

const Fulfill = graphql(`
  mutation Fulfill($input: FulfillStoreOrderInput!) {
    fulfillStoreOrder(input: $input) {
      __typename
      ... on FulfillStoreOrderSuccess { storeOrder { id ...StoreOrder } }
      ... on InvalidInput { message }
      ... on InvalidStoreOrderTransition { message }
      ... on NotFound { message }
    }
  }
`);

const Decline = graphql(`
  mutation Decline($input: DeclineStoreOrderInput!) {
    declineStoreOrder(input: $input) {
      __typename
      ... on DeclineStoreOrderSuccess { storeOrder { id ...StoreOrder } }
      ... on InvalidInput { message }
      ... on InvalidStoreOrderTransition { message }
      ... on NotFound { message }
    }
  }
`);

/** The open orders of a store, for its owner. */
export function StoreOrdersPage({ id }: { id: string }) {
  const [{ data, error }, read] = useQuery({ query: StoreOrders, variables: { id } });
  const readAgain = useCallback(() => read({ requestPolicy: "network-only" }), [read]);
  useEffect(() => {
    window.addEventListener(RECONNECTED, readAgain);
    return () => window.removeEventListener(RECONNECTED, readAgain);
  }, [readAgain]);
  const orders = data?.store?.orders;
  if (isMissing(error) || (data && !error && !orders)) return <Missing what="Store" />;
  const open = orders?.nodes.filter(({ status }) => status === "OPEN"); // those that changed since stay in the cached list
  return (
    <Page title={data?.store ? `Open orders of ${data.store.name}` : "Open orders"}>
      {error && <Problem retry={readAgain}>{messageOf(error)}</Problem>}
      {open && <News storeId={id} onMissed={readAgain} />}
      {open?.length === 0 && <p className="quiet">No open orders.</p>}
      <ul className="lines">{open?.map((order) => <StoreOrder key={order.id} order={order} />)}</ul>
      <Link href={`/stores/${id}`}>See the store as customers do</Link>
    </Page>
  );
}

/** Announces new orders. */
function News({ storeId, onMissed }: { storeId: string; onMissed: () => void }) {
  const [{ data, error }, follow] = useSubscription({ query: StoreOrderPlaced, variables: { storeId } });
  useEffect(() => {
    if (!isCode(error, "EVENTS_MISSED")) return;
    follow();
    onMissed();
  }, [error, follow, onMissed]);
  return (
    <>
      <p role="status" className="news">{data && `New order from ${data.storeOrderPlaced.storeOrder.customerName}`}</p>
      {error && <Problem>{messageOf(error)}</Problem>}
    </>
  );
}

function StoreOrder(props: { order: FragmentType<typeof StoreOrderFragment> }) {
  const { id, number, placedAt, customerName, note, total, items } = unmask(StoreOrderFragment, props.order);
  useSubscription({ query: StoreOrderUpdated, variables: { id } });
  const [fulfilling, fulfill] = useMutation(Fulfill);
  const [declining, decline] = useMutation(Decline);
  const isBusy = fulfilling.fetching || declining.fetching;
  const error = fulfilling.error ?? declining.error;
  const refused = error ? messageOf(error) : why(fulfilling.data?.fulfillStoreOrder ?? declining.data?.declineStoreOrder);

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    return decline({ input: { id, reason: String(new FormData(event.currentTarget).get("reason")) } });
  }

  return (
    <li>
      <div>
        <strong>{number}</strong>
        <p className="quiet">{customerName}, <Moment at={placedAt} /></p>
        {note && <p>“{note}”</p>}
        <ul>
          {items.map((item) => (
            <li key={item.id}>
              {item.quantity} × {item.productName}{" "}
              {item.fulfilledAt ? "✓" : items.length > 1 && (
                <button
                  disabled={isBusy}
                  aria-label={`Fulfill ${item.productName}`}
                  onClick={() => fulfill({ input: { id, itemIds: [item.id] } })}
                >
                  Fulfill
                </button>
              )}
            </li>
          ))}
        </ul>
        {refused && <Problem>{refused}</Problem>}
        {items.every(({ fulfilledAt }) => !fulfilledAt) && (
          <details>
            <summary>Decline</summary>
            <form onSubmit={submit}>
              <input name="reason" required maxLength={200} aria-label="Reason for the customer" placeholder="Reason" />
              <button disabled={isBusy}>Decline the order</button>
            </form>
          </details>
        )}
      </div>
      <Price of={total} />
      <button className="main" disabled={isBusy} onClick={() => fulfill({ input: { id } })}>Fulfill all</button>
    </li>
  );
}

type Result = FulfillMutation["fulfillStoreOrder"] | DeclineMutation["declineStoreOrder"];

/** Why nothing was changed, if nothing was. */
function why(result: Result | undefined) {
  if (!result) return undefined;
  switch (result.__typename) {
    case "FulfillStoreOrderSuccess":
    case "DeclineStoreOrderSuccess":
      return undefined;
    default:
      return result.message;
  }
}
