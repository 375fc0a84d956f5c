import { useState } from "react";
import { useQuery } from "urql";
import { Link } from "wouter";
import { graphql, unmask, type FragmentType } from "../gql";
import { Moment, Page, Price, Problem } from "../parts/basics";
import { Badge } from "../parts/OrderStatus";
import { messageOf } from "../results";

const OrderSummaryFragment = graphql(`
  fragment OrderSummary on Order {
    id number placedAt status totals { currency ...Money }
    items { id quantity productName }
  }
`);

const Orders = graphql(`
  query Orders($after: String) {
    viewer {
      id
      orders(first: 10, after: $after) {
        nodes { id ...OrderSummary }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
`);

export function OrdersPage() {
  const [after, setAfter] = useState<string | null>();
  const [{ data, error, fetching }, read] = useQuery({ query: Orders, variables: { after } });
  const orders = data?.viewer?.orders;
  return (
    <Page title="My orders">
      {error && <Problem retry={read}>{messageOf(error)}</Problem>}
      {orders?.nodes.length === 0 && <p>You have no orders yet. <Link href="/">Browse the catalog</Link></p>}
      <ul className="lines">
        {orders?.nodes.map((order) => <OrderSummary key={order.id} order={order} />)}
      </ul>
      {orders?.pageInfo.hasNextPage && (
        <button className="more" disabled={fetching} onClick={() => setAfter(orders.pageInfo.endCursor)}>More</button>
      )}
    </Page>
  );
}

function OrderSummary(props: { order: FragmentType<typeof OrderSummaryFragment> }) {
  const { id, number, placedAt, status, totals, items } = unmask(OrderSummaryFragment, props.order);
  return (
    <li>
      <div>
        <Link href={`/orders/${id}`}>{number}</Link>, <Moment at={placedAt} />
        <p className="quiet">{items.map(({ quantity, productName }) => `${quantity} × ${productName}`).join(", ")}</p>
      </div>
      <Badge status={status} />
      <div className="totals">{totals.map((total) => <Price key={total.currency} of={total} />)}</div>
    </li>
  );
}
