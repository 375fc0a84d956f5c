import { useQuery } from "urql";
import { Link } from "wouter";
import { graphql } from "../gql";
import { counted, Page, Problem } from "../parts/basics";
import { messageOf } from "../results";

const Selling = graphql(`
  query Selling {
    viewer {
      id
      stores(first: 20) {
        nodes { id name city orders(first: 0, filter: { status: [OPEN] }) { totalCount } }
      }
    }
  }
`);

/** The stores of the user. `orders` is null only in the stores of others. */
export function SellingPage() {
  const [{ data, error }, read] = useQuery({ query: Selling });
  const stores = data?.viewer?.stores.nodes;
  return (
    <Page title="Your stores">
      {error && <Problem retry={read}>{messageOf(error)}</Problem>}
      {stores?.length === 0 && <p>You have no stores.</p>}
      <ul className="lines">
        {stores?.map(({ id, name, city, orders }) => (
          <li key={id}>
            <div><Link href={`/selling/${id}`}>{name}</Link> <span className="quiet">{city}</span></div>
            {counted(orders?.totalCount ?? 0, "open order")}
          </li>
        ))}
      </ul>
    </Page>
  );
}
