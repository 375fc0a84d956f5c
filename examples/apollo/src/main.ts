/** Browses, places orders, handles every possible result, and follows an order until it is fulfilled. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { concatMap, distinctUntilChanged, filter, firstValueFrom, lastValueFrom, map, take, tap } from "rxjs";

import { Login, present, unreachable } from "./client.js";
import { graphql } from "./gql/gql.js";
import type { BrowseQuery, FollowOrderSubscription, OrderItemInput, PlaceOrderMutation } from "./gql/graphql.js";

const { ORDERS_URL = "http://127.0.0.1:8000/graphql", PASSWORD = "open-sesame" } = process.env;
const { CUSTOMER = "customer@example.com", OWNER = "owner@example.com" } = process.env;
const UNKNOWN = "Product_00000000-0000-7000-8000-000000000000";

const LogIn = graphql(`
  mutation LogIn($input: LogInInput!) {
    logIn(input: $input) {
      __typename
      ... on LogInSuccess {
        session {
          accessToken
          refreshToken
          user {
            id
            fullName
          }
        }
      }
      ... on Error {
        message
      }
    }
  }
`);

const Browse = graphql(`
  query Browse($search: String!, $first: Int!, $after: String) {
    products(first: $first, after: $after, filter: { search: $search }) {
      edges {
        cursor
        node {
          id
          name
          price {
            amount
            currency
          }
        }
      }
      pageInfo {
        startCursor
        endCursor
        hasPreviousPage
        hasNextPage
      }
    }
  }
`);

const ProductName = graphql(`
  query ProductName($id: ID!) {
    product(id: $id) {
      id
      name
    }
  }
`);

const PlaceOrder = graphql(`
  mutation PlaceOrder($items: [OrderItemInput!]!) {
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
      }
      ... on InsufficientStock {
        shortages {
          requested
          available
          product {
            id
            name
            stock
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
`);

const FollowOrder = graphql(`
  subscription FollowOrder($id: ID!) {
    orderUpdated(orderId: $id) {
      order {
        id
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
`);

const OrderStatus = graphql(`
  query OrderStatus($id: ID!) {
    order(id: $id) {
      id
      status
    }
  }
`);

const Fulfill = graphql(`
  mutation Fulfill($storeOrderId: ID!, $itemIds: [ID!]!) {
    fulfillStoreOrder(input: { id: $storeOrderId, itemIds: $itemIds }) {
      __typename
      ... on Error {
        message
      }
    }
  }
`);

const Cancel = graphql(`
  mutation Cancel($id: ID!) {
    cancelOrder(input: { id: $id }) {
      __typename
      ... on InvalidTransition {
        status
      }
      ... on NotFound {
        missingId
      }
    }
  }
`);

const MyOrders = graphql(`
  query MyOrders {
    orders {
      edges {
        cursor
        node {
          id
        }
      }
    }
  }
`);

async function logIn(email: string, password: string): Promise<Login> {
  const login = new Login(ORDERS_URL);
  const { data } = await login.client.mutate({
    mutation: LogIn,
    variables: { input: { email, password } },
    fetchPolicy: "no-cache",
  });
  const result = present(data?.logIn);
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
    default:
      unreachable(result);
  }
  return login;
}

/** Reads two pages. The list grows, because earlier pages are kept. */
async function browse({ client }: Login, search: string) {
  const list = client.watchQuery({ query: Browse, variables: { search, first: 2 } });
  const pages = list.pipe(
    filter(({ dataState, loading }) => dataState === "complete" && !loading),
    map(({ data }) => present((data as BrowseQuery).products)),
    take(2),
    tap(show),
    tap(({ edges, pageInfo }) => edges.length === 2 && list.fetchMore({ variables: { after: pageInfo.endCursor } })),
  );
  const { edges } = await lastValueFrom(pages);
  return edges.map(({ node }) => node);
}

function show({ edges }: NonNullable<BrowseQuery["products"]>) {
  const described = edges.map(({ node: { name, price } }) => `${name} (${price.amount} ${price.currency})`);
  console.log(`List: ${described.join(", ")}`);
}

async function order({ client }: Login, items: OrderItemInput[], key: string = randomUUID()) {
  const { data } = await client.mutate({
    mutation: PlaceOrder,
    variables: { items },
    context: { headers: { "Idempotency-Key": key } },
  });
  const result = present(data?.placeOrder);
  console.log(resultText(result));
  return result;
}

/** Describes the result of placing an order. */
function resultText(result: NonNullable<PlaceOrderMutation["placeOrder"]>): string {
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
    default:
      return unreachable(result);
  }
}

/** Follows the order as the customer, while the stores' owner fulfills one item after the other. */
async function followUntilFulfilled(customer: Login, owner: Login, id: string) {
  const updates = customer.client.subscribe({ query: FollowOrder, variables: { id } });
  const steps = updates.pipe(
    distinctUntilChanged((before, now) => statusIn(before) === statusIn(now)),
    concatMap(async ({ data, error }) => {
      if (error) {
        throw error;
      }
      // The event is in the cache, so every component that shows this order is updated.
      const cached = await customer.client.query({
        query: OrderStatus,
        variables: { id },
        fetchPolicy: "cache-only",
      });
      const { storeOrders } = present(data).orderUpdated.order;
      const waiting = storeOrders.flatMap(({ id, items }) =>
        items.filter((item) => item.fulfilledAt === null).map((item) => ({ storeOrderId: id, itemId: item.id })),
      );
      console.log(`Followed: ${cached.data?.order?.status}, ${waiting.length} to fulfill`);
      const [next] = waiting;
      await (next && fulfill(owner, next));
      return waiting.length === 0;
    }),
  );
  await firstValueFrom(steps.pipe(filter((fulfilled) => fulfilled)));
}

function statusIn({ data }: { data?: FollowOrderSubscription }) {
  return data?.orderUpdated.order.status;
}

async function fulfill({ client }: Login, { storeOrderId, itemId }: { storeOrderId: string; itemId: string }) {
  const { data } = await client.mutate({ mutation: Fulfill, variables: { storeOrderId, itemIds: [itemId] } });
  const result = present(data?.fulfillStoreOrder);
  switch (result.__typename) {
    case "FulfillStoreOrderSuccess":
      return;
    case "InvalidInput":
    case "InvalidStoreOrderTransition":
    case "NotFound":
      throw new Error(`${result.__typename}: ${result.message}`);
    default:
      unreachable(result);
  }
}

async function cancel({ client }: Login, id: string) {
  const { data } = await client.mutate({ mutation: Cancel, variables: { id } });
  const result = present(data?.cancelOrder);
  switch (result.__typename) {
    case "CancelOrderSuccess":
      console.log("Order: cancelled");
      break;
    case "InvalidTransition":
      console.log(`InvalidTransition: ${result.status}`);
      break;
    case "NotFound":
      console.log(`NotFound: ${result.missingId}`);
      break;
    default:
      unreachable(result);
  }
}

await logIn(CUSTOMER, "not the password");
const customer = await logIn(CUSTOMER, PASSWORD);
const owner = await logIn(OWNER, PASSWORD);

const [product, other] = await browse(customer, "te");
assert(product && other);
const known = await customer.client.query({
  query: ProductName,
  variables: { id: product.id },
  fetchPolicy: "cache-only",
});
console.log(`In the cache: ${known.data?.product?.name}`);

const items = [product, other].map(({ id }) => ({ productId: id, quantity: 1 }));
const key = randomUUID();
const placed = await order(customer, items, key);
assert(placed.__typename === "PlaceOrderSuccess");
assert.deepEqual(await order(customer, items, key), placed);
const { id } = present(placed.order);

assert.equal((await order(customer, [{ productId: product.id, quantity: 10_000 }])).__typename, "InsufficientStock");
assert.equal((await order(customer, [{ productId: product.id, quantity: 0 }])).__typename, "InvalidInput");
assert.equal((await order(customer, [{ productId: UNKNOWN, quantity: 1 }])).__typename, "NotFound");

customer.expire();
await followUntilFulfilled(customer, owner, id);
await cancel(customer, id);

customer.expire();
const [latest] = await Promise.all([
  customer.client.query({ query: OrderStatus, variables: { id }, fetchPolicy: "network-only" }),
  customer.client.query({ query: MyOrders }),
]);
console.log(`Renewed: the order is ${latest.data?.order?.status}`);
await Promise.all([customer.close(), owner.close()]);
