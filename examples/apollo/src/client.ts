/** Apollo Client for the Orders API: one for each login. */

import { createHash } from "node:crypto";

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

import { graphql } from "./gql/gql.js";
import generated from "./gql/possible-types.js";

globalThis.WebSocket ??= ws.WebSocket as unknown as typeof WebSocket; // which Node has from 22 on

const RefreshSession = graphql(`
  mutation RefreshSession($refreshToken: String!) {
    refreshSession(refreshToken: $refreshToken) {
      __typename
      ... on Session {
        accessToken
        refreshToken
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

/** Fails to compile where a member of a union is not handled. */
export function unreachable(value: never): never {
  throw new Error(`UNKNOWN_RESULT: ${JSON.stringify(value)}`);
}

/** Keeps every object once, by its type and global id; the pages of a list are one list that grows. */
function cache() {
  return new InMemoryCache({
    possibleTypes: generated.possibleTypes,
    typePolicies: {
      Query: {
        fields: {
          products: relayStylePagination(["filter", "orderBy"]),
          orders: relayStylePagination(["filter", "orderBy"]),
          // What a list brought is there already when it is asked for by its id.
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

/** A login, and the client that sends its token. */
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
      new HttpLink({ uri: url }),
    );
    const link = ApolloLink.from([this.#renewing(), this.#authorizing(), transport]);
    this.client = new ApolloClient({ link, cache: cache() });
  }

  /** Sends this token from now on. */
  use(tokens: Tokens) {
    this.#tokens = { ...tokens };
  }

  /** Pretends that the quarter of an hour is over for which an access token is good. */
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

  /** Renews a token that is no good any more, and sends what failed again; what lasts may fail again. */
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

  /** Renews the tokens once, however many requests wait for it: a refresh token that is used twice ends the login. */
  async #renewed(failed: string) {
    if (this.#tokens?.accessToken === failed) {
      this.#renewal ??= this.#renew(this.#tokens.refreshToken).finally(() => (this.#renewal = undefined));
      await this.#renewal;
    }
  }

  async #renew(refreshToken: string) {
    const key = createHash("sha256").update(refreshToken).digest("hex"); // so that it can be sent again if the answer is lost
    const { data } = await this.client.mutate({
      mutation: RefreshSession,
      variables: { refreshToken },
      context: { headers: { "Idempotency-Key": key } },
      fetchPolicy: "no-cache",
    });
    const result = data!.refreshSession;
    switch (result.__typename) {
      case "Session":
        this.use(result);
        return this.#sockets.terminate(); // they connect again, with the new token
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
