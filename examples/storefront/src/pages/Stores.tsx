import { useCallback, useEffect } from "react";
import { useMutation, useQuery, useSubscription } from "urql";
import { RECONNECTED } from "../client";
import { graphql, unmask, type FragmentType } from "../gql";
import type { FulfillMutation } from "../gql/graphql";
import { Moment, Page, Problem } from "../parts/basics";
import { Badge } from "../parts/OrderStatus";
import { isCode, messageOf } from "../results";

const StoreOrderFragment = graphql(`
  fragment StoreOrder on Order {
    id date status customer { id fullName }
    items { id quantity fulfilledAt product { id name store { id } } }
  }
`);

const CounterFragment = graphql(`
  fragment Counter on Store {
    id name city
    orders(first: 10, filter: { status: [PLACED, PARTIALLY_FULFILLED] }) { nodes { id ...StoreOrder } }
  }
`);

const Stores = graphql(`
  query Stores {
    viewer { id stores(first: 10) { nodes { id ...Counter } } }
  }
`);

/** The cache adds each event to the start of the store's orders. */
const StoreOrderPlaced = graphql(`
  subscription StoreOrderPlaced($storeId: ID!) {
    storeOrderPlaced(storeId: $storeId) { id customer { id fullName } ...StoreOrder }
  }
`);

const Fulfill = graphql(`
  mutation Fulfill($input: FulfillOrderItemsInput!) {
    fulfillOrderItems(input: $input) {
      __typename
      ... on Order { id ...StoreOrder }
      ... on InvalidInput { message }
      ... on InvalidTransition { message }
      ... on NotFound { message }
    }
  }
`);

export function StoresPage() {
  const [{ data, error }, read] = useQuery({ query: Stores });
  const readAgain = useCallback(() => read({ requestPolicy: "network-only" }), [read]);
  useEffect(() => {
    window.addEventListener(RECONNECTED, readAgain);
    return () => window.removeEventListener(RECONNECTED, readAgain);
  }, [readAgain]);
  return (
    <Page title="Your stores">
      {error && <Problem retry={readAgain}>{messageOf(error)}</Problem>}
      {data?.viewer?.stores.nodes.map((store) => <Counter key={store.id} store={store} onMissed={readAgain} />)}
    </Page>
  );
}

function Counter(props: { store: FragmentType<typeof CounterFragment>; onMissed: () => void }) {
  const { id, name, city, orders } = unmask(CounterFragment, props.store);
  const { onMissed } = props;
  const [{ data, error }, follow] = useSubscription({ query: StoreOrderPlaced, variables: { storeId: id } });
  useEffect(() => {
    if (!isCode(error, "EVENTS_MISSED")) return;
    follow();
    onMissed();
  }, [error, follow, onMissed]);
  return (
    <section aria-label={name}>
      <h2>{name} <small className="quiet">{city}</small></h2>
      <p role="status">{data && `New order from ${data.storeOrderPlaced.customer?.fullName ?? "a closed account"}`}</p>
      {error && <Problem>{messageOf(error)}</Problem>}
      {orders.nodes.length === 0 && <p className="quiet">No open orders.</p>}
      <ul className="lines">
        {orders.nodes.map((order) => <StoreOrder key={order.id} storeId={id} order={order} />)}
      </ul>
    </section>
  );
}

function StoreOrder(props: { storeId: string; order: FragmentType<typeof StoreOrderFragment> }) {
  const { id, date, status, customer, items } = unmask(StoreOrderFragment, props.order);
  const [{ data, error, fetching }, fulfill] = useMutation(Fulfill);
  const own = items.filter(({ product }) => product.store.id === props.storeId);
  const waiting = own.filter(({ fulfilledAt }) => !fulfilledAt).map(({ product }) => product.id);
  const refused = error ? messageOf(error) : data && why(data.fulfillOrderItems);
  return (
    <li>
      <div>
        {own.map((item) => `${item.quantity} × ${item.product.name}${item.fulfilledAt ? " ✓" : ""}`).join(", ")}
        <p className="quiet">{customer?.fullName ?? "Account closed"}, <Moment at={date} /></p>
        {refused && <Problem>{refused}</Problem>}
      </div>
      <Badge status={status} />
      {waiting.length > 0 && (
        <button disabled={fetching} onClick={() => fulfill({ input: { orderId: id, productIds: waiting } })}>
          Fulfill
        </button>
      )}
    </li>
  );
}

function why(result: FulfillMutation["fulfillOrderItems"]) {
  return result.__typename === "Order" ? undefined : result.message;
}
