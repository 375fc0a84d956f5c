/** Browses, places orders, handles every possible result, and follows an order until it is fulfilled. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { ApiClient, present, unreachable } from "./client.js";
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
    case "LogInSuccess":
      console.log(`Logged in: ${result.session?.user.fullName}`);
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
  const products = present((await client.request(Browse, { search, first: 2, after })).products);
  const described = products.nodes.map(({ name, price }) => `${name} (${price.amount} ${price.currency})`);
  console.log(`Page: ${described.join(", ")}`);
  return products;
}

async function order(client: ApiClient, items: OrderItemInput[], key: string = randomUUID()) {
  const { data, replayed } = await client.send(PlaceOrder, { items }, key);
  const result = present(data.placeOrder);
  console.log(`${replayed ? "Replayed: " : ""}${resultText(result)}`);
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
async function followUntilFulfilled(customer: ApiClient, owner: ApiClient, id: string) {
  for await (const { orderUpdated } of customer.follow(FollowOrder, { id })) {
    const { status, storeOrders } = orderUpdated.order;
    const waiting = storeOrders.flatMap(({ id, items }) =>
      items.filter((item) => item.fulfilledAt === null).map((item) => ({ storeOrderId: id, itemId: item.id })),
    );
    console.log(`Followed: ${status}, ${waiting.length} to fulfill`);
    const [next] = waiting;
    if (!next) {
      return;
    }
    await fulfill(owner, next);
  }
}

async function fulfill(owner: ApiClient, { storeOrderId, itemId }: { storeOrderId: string; itemId: string }) {
  const { fulfillStoreOrder } = await owner.request(Fulfill, { storeOrderId, itemIds: [itemId] });
  const result = present(fulfillStoreOrder);
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

async function cancel(client: ApiClient, id: string) {
  const result = present((await client.request(Cancel, { id })).cancelOrder);
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

const { nodes, pageInfo } = await browse(customer, "te");
await browse(customer, "te", pageInfo.endCursor);

const items = nodes.map(({ id }) => ({ productId: id, quantity: 1 }));
const key = randomUUID();
const placed = await order(customer, items, key);
assert(placed.__typename === "PlaceOrderSuccess");
assert.deepEqual(await order(customer, items, key), placed);
const { id } = present(placed.order);

const [{ productId }] = items as [OrderItemInput];
assert.equal((await order(customer, [{ productId, quantity: 10_000 }])).__typename, "InsufficientStock");
assert.equal((await order(customer, [{ productId, quantity: 0 }])).__typename, "InvalidInput");
assert.equal((await order(customer, [{ productId: UNKNOWN, quantity: 1 }])).__typename, "NotFound");

customer.expire();
await followUntilFulfilled(customer, owner, id);
await cancel(customer, id);

customer.expire();
const asked = [1, 2].map(() => customer.request(OrderStatus, { id }));
const [one, other] = await Promise.all(asked);
assert.deepEqual(one, other);
console.log(`Renewed: the order is ${one?.order?.status}`);
await customer.close();
