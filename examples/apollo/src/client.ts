/** Apollo Client for the Orders API, one client per login. */

import {
  ApolloClient,
  ApolloLink,
  CombinedGraphQLErrors,
  HttpLink,
  InMemoryCache,
  type FieldFunctionOptions,
} from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { ErrorLink } from "@apollo/client/link/error";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import { from, switchMap } from "rxjs";
import * as ws from "ws";

import { consistentFetch } from "./consistency.js";
import { graphql } from "./gql/gql.js";
import generated from "./gql/possible-types.js";

globalThis.WebSocket ??= ws.WebSocket as unknown as typeof WebSocket; // built into Node from version 22

const RefreshSession = graphql(`
  mutation RefreshSession($refreshToken: String!) {
    refreshSession(input: { refreshToken: $refreshToken }) {
      __typename
      ... on RefreshSessionSuccess {
        session {
          accessToken
          refreshToken
        }
      }
      ... on Error {
        message
      }
    }
  }
`);

export interface Tokens {
  accessToken: string;
  refreshToken: string;
}

/** Returns a value that is null only where something failed, which has been thrown as an error already. */
export function present<T>(value: T | null | undefined): T {
  if (value == null) {
    throw new Error("The response lacks data and an error.");
  }
  return value;
}

/** Fails to compile if a member of a union is not handled. */
export function unreachable(value: never): never {
  throw new Error(`UNKNOWN_RESULT: ${JSON.stringify(value)}`);
}

/** Types without a global ID, which the cache keeps within the object or result that has them. */
const EMBEDDED = [
  ...["Money", "OrderUpdatedEvent", "Session"],
  ...Object.entries(generated.possibleTypes).flatMap(([name, types]) => (name.endsWith("Result") ? types : [])),
];

/** Stores each object once, by type and global ID, and merges the pages of a list into one. */
function cache() {
  return new InMemoryCache({
    possibleTypes: generated.possibleTypes,
    typePolicies: {
      ...Object.fromEntries(EMBEDDED.map((name) => [name, { keyFields: false as const }])),
      Query: {
        fields: {
          // These merge `edges`. Of `nodes`, they would keep only the page that was read last.
          products: relayStylePagination(["filter", "orderBy"]),
          orders: relayStylePagination(["filter", "orderBy"]),
          // Find objects that a list has already loaded by their ID.
          product: { read: (known, options) => (known === undefined ? byId("Product", options) : known) },
          order: { read: (known, options) => (known === undefined ? byId("Order", options) : known) },
        },
      },
    },
  });
}

function byId(__typename: string, { args, toReference }: FieldFunctionOptions) {
  return toReference({ __typename, id: args?.["id"] });
}

/** A login and the client that sends its token. */
export class Login {
  readonly client: ApolloClient;
  readonly #sockets;
  #tokens: Tokens | undefined;
  #renewal: Promise<void> | undefined;

  constructor(url: string) {
    this.#sockets = createClient({
      url: url.replace(/^http/, "ws"),
      connectionParams: () => this.#authorization(),
      retryAttempts: 10,
    });
    const transport = ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(this.#sockets),
      new HttpLink({ uri: url, fetch: consistentFetch() }),
    );
    const link = ApolloLink.from([this.#renewing(), this.#authorizing(), transport]);
    this.client = new ApolloClient({ link, cache: cache() });
  }

  /** Uses these tokens from now on. */
  use(tokens: Tokens) {
    this.#tokens = { ...tokens };
  }

  /** Simulates an access token that has expired. */
  expire() {
    this.#tokens = this.#tokens && { ...this.#tokens, accessToken: "expired" };
  }

  async close() {
    this.client.stop();
    await this.#sockets.dispose();
  }

  #authorization() {
    return this.#tokens && { Authorization: `Bearer ${this.#tokens.accessToken}` };
  }

  #authorizing() {
    return new SetContextLink(({ headers }) => ({
      headers: { ...headers, ...this.#authorization() },
      token: this.#tokens?.accessToken,
    }));
  }

  /** Refreshes an expired token and sends the failed operation again. A subscription can do this repeatedly. */
  #renewing() {
    const link: ErrorLink = new ErrorLink(({ error, operation, forward }) => {
      const { token } = operation.getContext();
      if (token !== undefined && CombinedGraphQLErrors.is(error) && isUnauthenticated(error)) {
        return from(this.#renewed(token)).pipe(switchMap(() => link.request(operation, forward)));
      }
      return undefined;
    });
    return link;
  }

  /** Refreshes the tokens once, however many requests wait: using an old refresh token ends the session. */
  async #renewed(failed: string) {
    if (this.#tokens?.accessToken === failed) {
      this.#renewal ??= this.#renew(this.#tokens.refreshToken).finally(() => (this.#renewal = undefined));
      await this.#renewal;
    }
  }

  async #renew(refreshToken: string) {
    const { data } = await this.client.mutate({
      mutation: RefreshSession,
      variables: { refreshToken },
      fetchPolicy: "no-cache",
    });
    const result = present(data?.refreshSession);
    switch (result.__typename) {
      case "RefreshSessionSuccess":
        this.use(present(result.session));
        return this.#sockets.terminate(); // they reconnect with the new token
      case "IncorrectCredentials":
        this.#tokens = undefined;
        throw new Error(result.message); // log in again
      default:
        return unreachable(result);
    }
  }
}

function isUnauthenticated({ errors }: CombinedGraphQLErrors): boolean {
  return errors.some(({ extensions }) => extensions?.["code"] === "UNAUTHENTICATED");
}
