import { authExchange } from "@urql/exchange-auth";
import { cacheExchange, type Cache, type Entity } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { createClient as createSockets } from "graphql-ws";
import { Client, fetchExchange, subscriptionExchange } from "urql";
import { consistentFetch } from "./consistency";
import schema from "./gql/introspection";
import { login, renew, timeLeft } from "./login";
import { isCode } from "./results";

/** A client for one login. Its cache and its WebSocket are never shared with another user. */
export function shopClient(): Client {
  return new Client({
    url: "/graphql",
    preferGetMethod: false, // keep variables out of proxy logs
    fetch: consistentFetch(),
    requestPolicy: "cache-and-network",
    exchanges: [cache(), live(), auth(), fetchExchange],
  });
}

/** Types without a global ID, which the cache keeps within the object that has them. */
const EMBEDDED = schema.__schema.types.filter(
  (type) => type.kind === "OBJECT" && !type.fields.some(({ name }) => name === "id"),
);

/** Stores objects by global ID, so that mutations and events update every component that shows them. */
function cache() {
  return cacheExchange({
    schema,
    keys: Object.fromEntries(EMBEDDED.map(({ name }) => [name, () => null])),
    resolvers: {
      Query: { products: relayPagination() },
      Store: { products: relayPagination() },
      User: { orders: relayPagination() },
    },
    updates: {
      Mutation: {
        placeOrder: (_result, _args, cache) => forget(cache, `User:${login.get()?.user.id}`, "orders"),
      },
      Subscription: {
        storeOrderPlaced: (result, args, cache) =>
          prepend(cache, `Store:${args.storeId}`, "orders", (result.storeOrderPlaced as { storeOrder: Entity }).storeOrder),
      },
    },
  });
}

/** Removes a list from the cache, so that it is read again when it is next shown. */
function forget(cache: Cache, owner: Entity, list: string) {
  for (const field of cache.inspectFields(owner)) if (field.fieldName === list) cache.invalidate(owner, field.fieldKey);
}

/** Adds an item to the start of a list, or moves it there. */
function prepend(cache: Cache, owner: Entity, list: string, node: Entity) {
  for (const field of cache.inspectFields(owner)) {
    if (field.fieldName !== list) continue;
    const connection = cache.resolve(owner, field.fieldKey) as Entity;
    const nodes = (cache.resolve(connection, "nodes") ?? []) as Entity[];
    const key = cache.keyOfEntity(node);
    cache.link(connection, "nodes", [node, ...nodes.filter((other) => cache.keyOfEntity(other) !== key)]);
  }
}

/** Sends the token with each request. After UNAUTHENTICATED, refreshes it and sends the request again. */
function auth() {
  return authExchange(async ({ appendHeaders }) => ({
    addAuthToOperation: (operation) => {
      const token = login.get()?.accessToken;
      return token ? appendHeaders(operation, { Authorization: `Bearer ${token}` }) : operation;
    },
    willAuthError: () => timeLeft() <= 0,
    didAuthError: (error) => isCode(error, "UNAUTHENTICATED"),
    refreshAuth: renew,
  }));
}

/** Dispatched on `window` when the WebSocket has reconnected: events without a current state may have been missed. */
export const RECONNECTED = "reconnected";

/** Runs all subscriptions over one WebSocket, which reconnects with a new token before the old one expires. */
function live() {
  let expiry: ReturnType<typeof setTimeout>;
  const sockets = createSockets({
    url: "/graphql",
    retryAttempts: Infinity,
    shouldRetry: () => true,
    connectionParams: async () => {
      if (timeLeft() <= 0) await renew();
      const token = login.get()?.accessToken;
      return token ? { Authorization: `Bearer ${token}` } : {};
    },
    on: {
      connected: (_socket, _payload, again) => {
        clearTimeout(expiry);
        if (login.get()) expiry = setTimeout(sockets.terminate, Math.max(timeLeft(), 1_000));
        if (again) window.dispatchEvent(new Event(RECONNECTED));
      },
      closed: () => clearTimeout(expiry),
    },
  });
  return subscriptionExchange({
    forwardSubscription: ({ query = "", variables }) => ({
      subscribe: (sink) => ({ unsubscribe: sockets.subscribe({ query, variables }, sink) }),
    }),
  });
}
