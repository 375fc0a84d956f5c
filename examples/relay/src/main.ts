/** Browses, places orders, handles every possible result, and follows an order until it is fulfilled. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { ConnectionHandler, ROOT_ID, fetchQuery, graphql, requestSubscription } from "relay-runtime";
import { waitForFragmentData } from "relay-runtime/experimental";

import type { mainCancelMutation } from "./__generated__/mainCancelMutation.graphql";
import type {
  mainFollowSubscription,
  mainFollowSubscription$data,
} from "./__generated__/mainFollowSubscription.graphql";
import type { FulfillStoreOrderInput, mainFulfillMutation } from "./__generated__/mainFulfillMutation.graphql";
import type { mainLogInMutation } from "./__generated__/mainLogInMutation.graphql";
import type { mainOrders_query$key } from "./__generated__/mainOrders_query.graphql";
import type { mainOrdersQuery } from "./__generated__/mainOrdersQuery.graphql";
import type { mainOrderQuery } from "./__generated__/mainOrderQuery.graphql";
import type { mainPlaceOrderMutation, OrderItemInput } from "./__generated__/mainPlaceOrderMutation.graphql";
import shelfPagination, { type mainShelfPaginationQuery } from "./__generated__/mainShelfPaginationQuery.graphql";
import type { mainRestoreMutation } from "./__generated__/mainRestoreMutation.graphql";
import type { mainShelfQuery } from "./__generated__/mainShelfQuery.graphql";
import type { mainShelf_query$data, mainShelf_query$key } from "./__generated__/mainShelf_query.graphql";
import stockRefetch, { type mainStockRefetchQuery } from "./__generated__/mainStockRefetchQuery.graphql";
import type { mainStock_product$key } from "./__generated__/mainStock_product.graphql";
import type { mainWithdrawMutation } from "./__generated__/mainWithdrawMutation.graphql";
import { Login, present, unreachable } from "./environment";

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
    products(first: $count, after: $cursor, filter: { search: $search })
      @connection(key: "mainShelf_products")
      @required(action: THROW) {
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

const Orders = graphql`
  fragment mainOrders_query on Query {
    orders(first: 5) @connection(key: "mainOrders_orders") @required(action: THROW) {
      edges {
        node {
          id
          status
        }
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
  const { logIn } = await login.mutate<mainLogInMutation>(
    graphql`
      mutation mainLogInMutation($input: LogInInput!) {
        logIn(input: $input) {
          __typename
          ... on LogInSuccess {
            session {
              accessToken
              refreshToken
              user {
                fullName
              }
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
  const result = present(logIn);
  switch (result.__typename) {
    case "LogInSuccess": {
      const session = present(result.session);
      login.use(session);
      console.log(`Logged in: ${session.user.fullName}`);
      break;
    }
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

/** Reads the customer's orders. The list stays in the store, where `order` adds to it. */
async function readOrders({ environment }: Login) {
  const query = graphql`
    query mainOrdersQuery {
      ...mainOrders_query
    }
  `;
  return present(await fetchQuery<mainOrdersQuery>(environment, query, {}).toPromise());
}

/** Shows the list of orders in the store, without a request, and returns the newest. */
async function showOrders({ environment }: Login, list: mainOrders_query$key) {
  const { orders } = await waitForFragmentData<mainOrders_query$key>(environment, Orders, list);
  const newest = orders.edges[0]?.node;
  console.log(`In the list: ${newest?.status}, with ${orders.edges.length - 1} earlier ones`);
  return newest;
}

/** Places an order. The new edge goes to the start of the customer's orders, where a component shows it at once. */
async function order(login: Login, items: OrderItemInput[], key: string = randomUUID()) {
  const { placeOrder } = await login.mutate<mainPlaceOrderMutation>(
    graphql`
      mutation mainPlaceOrderMutation($items: [OrderItemInput!]!, $connections: [ID!]!) {
        placeOrder(input: { items: $items }) {
          __typename
          ... on PlaceOrderSuccess {
            order {
              id
              status
              totals {
                amount
                currency
              }
            }
            orderEdge @prependEdge(connections: $connections) {
              cursor
              node {
                id
                status
              }
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
            missingId
          }
        }
      }
    `,
    { items, connections: [ConnectionHandler.getConnectionID(ROOT_ID, "mainOrders_orders")] },
    key,
  );
  const result = present(placeOrder);
  console.log(resultText(result));
  return result;
}

/** Describes the result of placing an order. */
function resultText(result: NonNullable<mainPlaceOrderMutation["response"]["placeOrder"]>): string {
  switch (result.__typename) {
    case "PlaceOrderSuccess": {
      const { status, totals } = present(result.order);
      return `Order: ${status}, ${totals.map(({ amount, currency }) => `${amount} ${currency}`).join(", ")}`;
    }
    case "InsufficientStock":
      return `InsufficientStock: ${result.shortages
        .map(({ product, available, requested }) => `${available} of ${requested} ${product.name}`)
        .join(", ")}`;
    case "InvalidInput":
      return `InvalidInput: ${result.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join(", ")}`;
    case "NotFound":
      return `NotFound: ${result.missingId}`;
    case "%other":
      throw new Error(NEWER);
    default:
      return unreachable(result);
  }
}

/** Orders a product while it is out of the catalog. `NotFound` has no `id`, so Relay doesn't take it for the product. */
async function orderWithdrawn(customer: Login, owner: Login, product: mainStock_product$key & { readonly id: string }) {
  const { id } = product;
  const { deleteProduct } = await owner.mutate<mainWithdrawMutation>(
    graphql`
      mutation mainWithdrawMutation($id: ID!) {
        deleteProduct(input: { id: $id }) {
          __typename
        }
      }
    `,
    { id },
  );
  assert.equal(deleteProduct?.__typename, "DeleteProductSuccess");
  const result = await order(customer, [{ productId: id, quantity: 1 }]);
  assert(result.__typename === "NotFound" && result.missingId === id);
  const { name } = await waitForFragmentData<mainStock_product$key>(customer.environment, Stock, product);
  console.log(`In the store: ${name}`);
  const { restoreProduct } = await owner.mutate<mainRestoreMutation>(
    graphql`
      mutation mainRestoreMutation($id: ID!) {
        restoreProduct(input: { id: $id }) {
          __typename
        }
      }
    `,
    { id },
  );
  assert.equal(restoreProduct?.__typename, "RestoreProductSuccess");
}

/** Reads a product again by its ID, with `node`. */
async function refetch({ environment }: Login, product: mainStock_product$key & { readonly id: string }) {
  await fetchQuery<mainStockRefetchQuery>(environment, stockRefetch, { id: product.id }).toPromise();
  const { name, stock } = await waitForFragmentData<mainStock_product$key>(environment, Stock, product);
  console.log(`Refetched: ${stock} ${name}`);
}

/** Follows the order as the customer, while the stores' owner fulfills one item after the other. */
async function followUntilFulfilled(customer: Login, owner: Login, id: string) {
  const subscription = graphql`
    subscription mainFollowSubscription($id: ID!) {
      orderUpdated(orderId: $id) {
        order {
          status
          storeOrders {
            id
            items {
              id
              fulfilledAt
            }
          }
        }
      }
    }
  `;
  await new Promise<void>((resolve, reject) => {
    let known: string | undefined;
    const step = async ({ orderUpdated: { order } }: mainFollowSubscription$data) => {
      if (order.status === known) {
        return; // after an interruption, the first event has the current state, which may be unchanged
      }
      known = order.status;
      const waiting = order.storeOrders.flatMap((part) =>
        part.items.filter((item) => !item.fulfilledAt).map((item) => ({ id: part.id, itemIds: [item.id] })),
      );
      console.log(`Followed: ${order.status}, ${waiting.length} to fulfill`);
      const [next] = waiting;
      if (next) {
        await fulfill(owner, next);
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

async function fulfill(owner: Login, input: FulfillStoreOrderInput) {
  const { fulfillStoreOrder } = await owner.mutate<mainFulfillMutation>(
    graphql`
      mutation mainFulfillMutation($input: FulfillStoreOrderInput!) {
        fulfillStoreOrder(input: $input) {
          __typename
          ... on FulfillStoreOrderSuccess {
            storeOrder {
              status
            }
          }
          ... on InvalidInput {
            message
          }
          ... on InvalidStoreOrderTransition {
            message
          }
          ... on NotFound {
            message
          }
        }
      }
    `,
    { input },
  );
  const result = present(fulfillStoreOrder);
  switch (result.__typename) {
    case "FulfillStoreOrderSuccess":
      return;
    case "InvalidInput":
    case "InvalidStoreOrderTransition":
    case "NotFound":
      throw new Error(`${result.__typename}: ${result.message}`);
    case "%other":
      throw new Error(NEWER);
    default:
      unreachable(result);
  }
}

async function cancel(login: Login, id: string) {
  const { cancelOrder } = await login.mutate<mainCancelMutation>(
    graphql`
      mutation mainCancelMutation($id: ID!) {
        cancelOrder(input: { id: $id }) {
          __typename
          ... on CancelOrderSuccess {
            order {
              status
            }
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
  const result = present(cancelOrder);
  switch (result.__typename) {
    case "CancelOrderSuccess":
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
  const list = await readOrders(customer);
  const placed = await order(customer, items, key);
  assert(placed.__typename === "PlaceOrderSuccess");
  assert.deepEqual(await order(customer, items, key), placed);
  const { id } = present(placed.order);
  assert.equal((await showOrders(customer, list))?.id, id);
  await refetch(customer, product);

  assert.equal((await order(customer, [{ productId: product.id, quantity: 10_000 }])).__typename, "InsufficientStock");
  assert.equal((await order(customer, [{ productId: product.id, quantity: 0 }])).__typename, "InvalidInput");
  assert.equal((await order(customer, [{ productId: UNKNOWN, quantity: 1 }])).__typename, "NotFound");
  await orderWithdrawn(customer, owner, product);
  assert.equal((await showOrders(customer, list))?.id, id);

  customer.expire();
  await followUntilFulfilled(customer, owner, id);

  customer.expire();
  const [status] = await Promise.all([statusOf(customer, id), cancel(customer, id)]);
  console.log(`Renewed: the order is ${status}`);
  await Promise.all([customer.close(), owner.close()]);
}

void main();
