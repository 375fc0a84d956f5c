import { useSubscription } from "urql";
import { graphql } from "../gql";
import { Moment, Page, Price, Problem } from "../parts/basics";
import { Track } from "../parts/OrderStatus";
import { messageOf } from "../results";

/** The first event has the current state of the order; later ones follow each change. */
const OrderUpdated = graphql(`
  subscription OrderUpdated($id: ID!) {
    orderUpdated(orderId: $id) {
      id date status totals { currency ...Money }
      items { id quantity fulfilledAt lineTotal { ...Money } product { id name store { id name } } }
    }
  }
`);

export function OrderPage({ id }: { id: string }) {
  const [{ data, error }] = useSubscription({ query: OrderUpdated, variables: { id } });
  const order = data?.orderUpdated;
  return (
    <Page title="Your order">
      {error && <Problem>{messageOf(error)}</Problem>}
      {order && (
        <>
          <Track status={order.status} />
          <ul className="lines">
            {order.items.map(({ id, quantity, product, lineTotal, fulfilledAt }) => (
              <li key={id}>
                <div>
                  {quantity} × {product.name}
                  <p className="quiet">
                    {fulfilledAt ? "Sent by" : "Waiting for"} {product.store.name}
                    {fulfilledAt && <>, <Moment at={fulfilledAt} /></>}
                  </p>
                </div>
                <Price of={lineTotal} />
              </li>
            ))}
            <li>
              <div>Placed <Moment at={order.date} /></div>
              <div className="totals">{order.totals.map((total) => <Price key={total.currency} of={total} />)}</div>
            </li>
          </ul>
        </>
      )}
    </Page>
  );
}
