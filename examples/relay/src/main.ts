/** Browses, places orders, handles every possible result, and follows an order until it is fulfilled. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { fetchQuery, graphql, requestSubscription } from "relay-runtime";
import { waitForFragmentData } from "relay-runtime/experimental";

import type { mainCancelMutation } from "./__generated__/mainCancelMutation.graphql";
import type {
  mainFollowSubscription,
  mainFollowSubscription$data,
} from "./__generated__/mainFollowSubscription.graphql";
import type { mainFulfillMutation } from "./__generated__/mainFulfillMutation.graphql";
import type { mainLogInMutation } from "./__generated__/mainLogInMutation.graphql";
import type { mainOrderQuery } from "./__generated__/mainOrderQuery.graphql";
import type { mainPlaceOrderMutation, OrderItemInput } from "./__generated__/mainPlaceOrderMutation.graphql";
import shelfPagination, { type mainShelfPaginationQuery } from "./__generated__/mainShelfPaginationQuery.graphql";
import type { mainShelfQuery } from "./__generated__/mainShelfQuery.graphql";
import type { mainShelf_query$data, mainShelf_query$key } from "./__generated__/mainShelf_query.graphql";
import stockRefetch, { type mainStockRefetchQuery } from "./__generated__/mainStockRefetchQuery.graphql";
import type { mainStock_product$key } from "./__generated__/mainStock_product.graphql";
import { Login, unreachable } from "./environment";

const { ORDERS_URL = "http://127.0.0.1:8000/graphql", PASSWORD = "open-sesame" } = process.env;
const { CUSTOMER = "customer@example.com", OWNER = "owner@example.com" } = process.env;
const NEWER = "The server returned a type that this client doesn't know.";
const UNKNOWN = "Product_00000000-0000-7000-8000-000000000000";

const Shelf = graphql`
  fragment mainShelf_query on Query
  @refetchable(queryName: "mainShelfPaginationQuery")
  @argumentDefinitions(
    search: { type: "String!" }
    count: { type: "Int", defaultValue: 2 }
    cursor: { type: "String" }
  ) {
    products(first: $count, after: $cursor, filter: { search: $search }) @connection(key: "mainShelf_products") {
      edges {
        node {
          id
          name
          price {
            amount
            currency
          }
          ...mainStock_product
        }
      }
      pageInfo {
        endCursor
      }
    }
  }
`;

const Stock = graphql`
  fragment mainStock_product on Product @refetchable(queryName: "mainStockRefetchQuery") {
    name
    stock
  }
`;

async function logIn(email: string, password: string): Promise<Login> {
  const login = new Login(ORDERS_URL);
  const { logIn: result } = await login.mutate<mainLogInMutation>(
    graphql`
      mutation mainLogInMutation($input: LogInInput!) {
        logIn(input: $input) {
          __typename
          ... on Session {
            accessToken
            refreshToken
            user {
              fullName
            }
          }
          ... on IncorrectCredentials {
            message
          }
        }
      }
    `,
    { input: { email, password } },
  );
  switch (result.__typename) {
    case "Session":
      login.use(result);
      console.log(`Logged in: ${result.user.fullName}`);
      break;
    case "IncorrectCredentials":
      console.log(`IncorrectCredentials: ${result.message}`);
      break;
    case "%other":
      throw new Error(NEWER);
    default:
      unreachable(result);
  }
  return login;
}

/** Reads two pages. The list grows, because earlier pages are kept. */
async function browse({ environment }: Login, search: string) {
  const query = graphql`
    query mainShelfQuery($search: String!) {
      ...mainShelf_query @arguments(search: $search)
    }
  `;
  const shelf = await fetchQuery<mainShelfQuery>(environment, query, { search }).toPromise();
  const first = await waitForFragmentData<mainShelf_query$key>(environment, Shelf, shelf!);
  show(first);
  const variables = { search, cursor: first.products.pageInfo.endCursor };
  await fetchQuery<mainShelfPaginationQuery>(environment, shelfPagination, variables).toPromise();
  const both = await waitForFragmentData<mainShelf_query$key>(environment, Shelf, shelf!);
  show(both);
  return both.products.edges.map(({ node }) => node);
}

function show({ products }: mainShelf_query$data) {
  const described = products.edges.map(({ node: { name, price } }) => `${name} (${price.amount} ${price.currency})`);
  console.log(`List: ${described.join(", ")}`);
}

async function order(login: Login, items: OrderItemInput[], key: string = randomUUID()) {
  const { placeOrder } = await login.mutate<mainPlaceOrderMutation>(
    graphql`
      mutation mainPlaceOrderMutation($items: [OrderItemInput!]!) {
        placeOrder(input: { items: $items }) {
          __typename
          ... on Order {
            id
            status
            totals {
              amount
              currency
            }
          }
          ... on InsufficientStock {
            shortages {
              requested
              available
              product {
                name
              }
            }
          }
          ... on InvalidInput {
            issues {
              path
              message
            }
          }
          ... on NotFound {
            id
          }
        }
      }
    `,
    { items },
    key,
  );
  console.log(resultText(placeOrder));
  return placeOrder;
}

/** Describes the result of placing an order. */
function resultText(result: mainPlaceOrderMutation["response"]["placeOrder"]): string {
  switch (result.__typename) {
    case "Order":
      return `Order: ${result.status}, ${result.totals.map(({ amount, currency }) => `${amount} ${currency}`).join(", ")}`;
    case "InsufficientStock":
      return `InsufficientStock: ${result.shortages
        .map(({ product, available, requested }) => `${available} of ${requested} ${product.name}`)
        .join(", ")}`;
    case "InvalidInput":
      return `InvalidInput: ${result.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join(", ")}`;
    case "NotFound":
      return `NotFound: ${result.id}`;
    case "%other":
      throw new Error(NEWER);
    default:
      return unreachable(result);
  }
}

/** Reads a product again by its ID, with `node`. */
async function refetch({ environment }: Login, product: mainStock_product$key & { readonly id: string }) {
  await fetchQuery<mainStockRefetchQuery>(environment, stockRefetch, { id: product.id }).toPromise();
  const { name, stock } = await waitForFragmentData<mainStock_product$key>(environment, Stock, product);
  console.log(`Refetched: ${stock} ${name}`);
}

/** Follows the order as the customer, while the store's owner fulfills one item after the other. */
async function followUntilFulfilled(customer: Login, owner: Login, id: string) {
  const subscription = graphql`
    subscription mainFollowSubscription($id: ID!) {
      orderUpdated(orderId: $id) {
        status
        items {
          fulfilledAt
          product {
            id
          }
        }
      }
    }
  `;
  await new Promise<void>((resolve, reject) => {
    let known: string | undefined;
    const step = async ({ orderUpdated }: mainFollowSubscription$data) => {
      if (orderUpdated.status === known) {
        return; // after an interruption, the first event has the current state, which may be unchanged
      }
      known = orderUpdated.status;
      const waiting = orderUpdated.items.filter((item) => !item.fulfilledAt);
      console.log(`Followed: ${orderUpdated.status}, ${waiting.length} to fulfill`);
      const [next] = waiting;
      if (next) {
        await fulfill(owner, id, next.product.id);
      } else {
        following.dispose();
        resolve();
      }
    };
    const following = requestSubscription<mainFollowSubscription>(customer.environment, {
      subscription,
      variables: { id },
      onNext: (event) => event && step(event).catch(reject),
      onError: reject,
    });
  });
}

async function fulfill(owner: Login, orderId: string, productId: string) {
  const { fulfillOrderItems: result } = await owner.mutate<mainFulfillMutation>(
    graphql`
      mutation mainFulfillMutation($input: FulfillOrderItemsInput!) {
        fulfillOrderItems(input: $input) {
          __typename
          ... on Order {
            status
          }
          ... on InvalidInput {
            message
          }
          ... on InvalidTransition {
            message
          }
          ... on NotFound {
            message
          }
        }
      }
    `,
    { input: { orderId, productIds: [productId] } },
  );
  switch (result.__typename) {
    case "Order":
      return;
    case "InvalidInput":
    case "InvalidTransition":
    case "NotFound":
      throw new Error(`${result.__typename}: ${result.message}`);
    case "%other":
      throw new Error(NEWER);
    default:
      unreachable(result);
  }
}

async function cancel(login: Login, id: string) {
  const { cancelOrder: result } = await login.mutate<mainCancelMutation>(
    graphql`
      mutation mainCancelMutation($id: ID!) {
        cancelOrder(id: $id) {
          __typename
          ... on Order {
            status
          }
          ... on InvalidTransition {
            message
            status
          }
          ... on NotFound {
            message
          }
        }
      }
    `,
    { id },
  );
  switch (result.__typename) {
    case "Order":
      console.log("Order: cancelled");
      break;
    case "InvalidTransition":
      console.log(`InvalidTransition: ${result.status}`);
      break;
    case "NotFound":
      console.log(`NotFound: ${result.message}`);
      break;
    case "%other":
      throw new Error(NEWER);
    default:
      unreachable(result);
  }
}

async function statusOf({ environment }: Login, id: string) {
  const query = graphql`
    query mainOrderQuery($id: ID!) {
      order(id: $id) {
        status
      }
    }
  `;
  const answer = await fetchQuery<mainOrderQuery>(environment, query, { id }).toPromise();
  return answer?.order?.status;
}

async function main() {
  await logIn(CUSTOMER, "not the password");
  const customer = await logIn(CUSTOMER, PASSWORD);
  const owner = await logIn(OWNER, PASSWORD);

  const [product, other] = await browse(customer, "te");
  assert(product && other);
  const items = [product, other].map(({ id }) => ({ productId: id, quantity: 1 }));
  const key = randomUUID();
  const placed = await order(customer, items, key);
  assert(placed.__typename === "Order");
  assert.deepEqual(await order(customer, items, key), placed);
  await refetch(customer, product);

  assert.equal((await order(customer, [{ productId: product.id, quantity: 10_000 }])).__typename, "InsufficientStock");
  assert.equal((await order(customer, [{ productId: product.id, quantity: 0 }])).__typename, "InvalidInput");
  assert.equal((await order(customer, [{ productId: UNKNOWN, quantity: 1 }])).__typename, "NotFound");

  customer.expire();
  await followUntilFulfilled(customer, owner, placed.id);

  customer.expire();
  const [status] = await Promise.all([statusOf(customer, placed.id), cancel(customer, placed.id)]);
  console.log(`Renewed: the order is ${status}`);
  await Promise.all([customer.close(), owner.close()]);
}

void main();
