/** Browses, places orders, handles every possible result, and follows an order until it is fulfilled. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { ApiClient, unreachable } from "./client.js";
import { graphql } from "./gql/gql.js";
import type { OrderItemInput, PlaceOrderMutation } from "./gql/graphql.js";

const { ORDERS_URL = "http://127.0.0.1:8000/graphql", PASSWORD = "open-sesame" } = process.env;
const { CUSTOMER = "customer@example.com", OWNER = "owner@example.com" } = process.env;
const UNKNOWN = "Product_00000000-0000-7000-8000-000000000000";

const Browse = graphql(`
  query Browse($search: String!, $first: Int!, $after: String) {
    products(first: $first, after: $after, filter: { search: $search }) {
      nodes {
        id
        name
        stock
        price {
          amount
          currency
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`);

const PlaceOrder = graphql(`
  mutation PlaceOrder($items: [OrderItemInput!]!) {
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
`);

const FollowOrder = graphql(`
  subscription FollowOrder($id: ID!) {
    orderUpdated(orderId: $id) {
      id
      status
      items {
        fulfilledAt
        product {
          id
          name
        }
      }
    }
  }
`);

const Fulfill = graphql(`
  mutation Fulfill($orderId: ID!, $productIds: [ID!]!) {
    fulfillOrderItems(input: { orderId: $orderId, productIds: $productIds }) {
      __typename
      ... on Error {
        message
      }
    }
  }
`);

const Cancel = graphql(`
  mutation Cancel($id: ID!) {
    cancelOrder(id: $id) {
      __typename
      ... on InvalidTransition {
        status
      }
      ... on NotFound {
        id
      }
    }
  }
`);

const OrderStatus = graphql(`
  query OrderStatus($id: ID!) {
    order(id: $id) {
      status
    }
  }
`);

async function logIn(email: string, password: string): Promise<ApiClient> {
  const client = new ApiClient(ORDERS_URL);
  const result = await client.logIn({ email, password });
  switch (result.__typename) {
    case "Session":
      console.log(`Logged in: ${result.user.fullName}`);
      break;
    case "IncorrectCredentials":
      console.log(`IncorrectCredentials: ${result.message}`);
      break;
    default:
      unreachable(result);
  }
  return client;
}

async function browse(client: ApiClient, search: string, after: string | null = null) {
  const { products } = await client.request(Browse, { search, first: 2, after });
  const described = products.nodes.map(({ name, price }) => `${name} (${price.amount} ${price.currency})`);
  console.log(`Page: ${described.join(", ")}`);
  return products;
}

async function order(client: ApiClient, items: OrderItemInput[], key: string = randomUUID()) {
  const { data, replayed } = await client.send(PlaceOrder, { items }, key);
  console.log(`${replayed ? "Replayed: " : ""}${resultText(data.placeOrder)}`);
  return data.placeOrder;
}

/** Describes the result of placing an order. */
function resultText(result: PlaceOrderMutation["placeOrder"]): string {
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
    default:
      return unreachable(result);
  }
}

/** Follows the order as the customer, while the store's owner fulfills one item after the other. */
async function followUntilFulfilled(customer: ApiClient, owner: ApiClient, id: string) {
  for await (const { orderUpdated } of customer.follow(FollowOrder, { id })) {
    const waiting = orderUpdated.items.filter((item) => item.fulfilledAt === null);
    console.log(`Followed: ${orderUpdated.status}, ${waiting.length} to fulfill`);
    const [next] = waiting;
    if (!next) {
      return;
    }
    await fulfill(owner, id, next.product.id);
  }
}

async function fulfill(owner: ApiClient, orderId: string, productId: string) {
  const { fulfillOrderItems: result } = await owner.request(Fulfill, { orderId, productIds: [productId] });
  switch (result.__typename) {
    case "Order":
      return;
    case "InvalidInput":
    case "InvalidTransition":
    case "NotFound":
      throw new Error(`${result.__typename}: ${result.message}`);
    default:
      unreachable(result);
  }
}

async function cancel(client: ApiClient, id: string) {
  const { cancelOrder: result } = await client.request(Cancel, { id });
  switch (result.__typename) {
    case "Order":
      console.log("Order: cancelled");
      break;
    case "InvalidTransition":
      console.log(`InvalidTransition: ${result.status}`);
      break;
    case "NotFound":
      console.log(`NotFound: ${result.id}`);
      break;
    default:
      unreachable(result);
  }
}

await logIn(CUSTOMER, "not the password");
const customer = await logIn(CUSTOMER, PASSWORD);
const owner = await logIn(OWNER, PASSWORD);

const { nodes, pageInfo } = await browse(customer, "te");
await browse(customer, "te", pageInfo.endCursor);

const items = nodes.map(({ id }) => ({ productId: id, quantity: 1 }));
const key = randomUUID();
const placed = await order(customer, items, key);
assert(placed.__typename === "Order");
assert.deepEqual(await order(customer, items, key), placed);

const [{ productId }] = items as [OrderItemInput];
assert.equal((await order(customer, [{ productId, quantity: 10_000 }])).__typename, "InsufficientStock");
assert.equal((await order(customer, [{ productId, quantity: 0 }])).__typename, "InvalidInput");
assert.equal((await order(customer, [{ productId: UNKNOWN, quantity: 1 }])).__typename, "NotFound");

customer.expire();
await followUntilFulfilled(customer, owner, placed.id);
await cancel(customer, placed.id);

customer.expire();
const asked = [1, 2].map(() => customer.request(OrderStatus, { id: placed.id }));
const [one, other] = await Promise.all(asked);
assert.deepEqual(one, other);
console.log(`Renewed: the order is ${one?.order?.status}`);
await customer.close();
