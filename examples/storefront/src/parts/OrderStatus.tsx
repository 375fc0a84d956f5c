import type { OrderStatus, StoreOrderStatus } from "../gql/graphql";

/** The statuses of an order, and of the part that one store sells. */
type Status = OrderStatus | StoreOrderStatus;

const IN_WORDS: Record<Status, string> = {
  PLACED: "Placed",
  OPEN: "Open",
  PARTIALLY_FULFILLED: "Partly fulfilled",
  FULFILLED: "Fulfilled",
  DECLINED: "Declined",
  CANCELLED: "Cancelled",
};
const STEPS: OrderStatus[] = ["PLACED", "PARTIALLY_FULFILLED", "FULFILLED"];

export function Badge({ status }: { status: Status }) {
  return <span className={`badge ${status.toLowerCase()}`}>{IN_WORDS[status]}</span>;
}

/** Shows the progress of an order. Screen readers announce each change. */
export function Track({ status }: { status: OrderStatus }) {
  const reached = STEPS.indexOf(status);
  return (
    <>
      <p role="status">This order is <Badge status={status} /></p>
      {reached >= 0 && (
        <ol className="track" aria-hidden="true">
          {STEPS.map((step, at) => <li key={step} className={at <= reached ? "reached" : ""}>{IN_WORDS[step]}</li>)}
        </ol>
      )}
    </>
  );
}
