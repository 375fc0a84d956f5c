/** Relay's environment for the Orders API, one environment per login. */

import { createClient, type Client } from "graphql-ws";
import {
  Environment,
  Network,
  Observable,
  RecordSource,
  ROOT_TYPE,
  Store,
  commitMutation,
  graphql,
  type GraphQLResponse,
  type GraphQLTaggedNode,
  type MutationParameters,
  type RequestParameters,
  type Variables,
} from "relay-runtime";
import { WebSocket } from "ws";

import { consistentFetch } from "./consistency.js";
import type { environmentRefreshSessionMutation } from "./__generated__/environmentRefreshSessionMutation.graphql";

export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string;
}

/** Returns a value that is null only where something failed, which has been thrown as an error already. */
export function present<T>(value: T | null | undefined): T {
  if (value == null) {
    throw new Error("The response lacks data and an error.");
  }
  return value;
}

/** Fails to compile if a selected member of a union is not handled. */
export function unreachable(value: never): never {
  throw new Error(`UNKNOWN_RESULT: ${JSON.stringify(value)}`);
}

/** A login and the environment that sends its token. */
export class Login {
  readonly environment: Environment;
  readonly #url: string;
  readonly #sockets: Client;
  readonly #consistentFetch = consistentFetch();
  #tokens: Tokens | undefined;
  #renewal: Promise<void> | undefined;

  constructor(url: string) {
    this.#url = url;
    this.#sockets = createClient({
      url: url.replace(/^http/, "ws"),
      webSocketImpl: WebSocket,
      connectionParams: () => this.#authorization(),
      retryAttempts: 10,
    });
    this.environment = new Environment({
      network: Network.create(
        (request, variables, { metadata }) => this.#fetch(request, variables, metadata?.["idempotencyKey"] as string),
        (request, variables) => this.#follow(request, variables),
      ),
      store: new Store(new RecordSource()),
      // Find objects that a list has already loaded by their ID.
      missingFieldHandlers: [
        {
          kind: "linked",
          handle: (field, record, { id }) =>
            record?.getType() === ROOT_TYPE && ["node", "order", "product"].includes(field.name) ? id : undefined,
        },
      ],
    });
  }

  /** Uses these tokens from now on. */
  use({ accessToken, refreshToken }: Tokens) {
    this.#tokens = { accessToken, refreshToken };
  }

  /** Simulates an access token that has expired. */
  expire() {
    this.#tokens = this.#tokens && { ...this.#tokens, accessToken: "expired" };
  }

  async close() {
    await this.#sockets.dispose();
  }

  /** Sends a mutation. With an Idempotency-Key, the same mutation takes effect only once. */
  mutate<Operation extends MutationParameters>(
    mutation: GraphQLTaggedNode,
    variables: Operation["variables"],
    idempotencyKey?: string,
  ): Promise<Operation["response"]> {
    return new Promise((resolve, reject) => {
      commitMutation<Operation>(this.environment, {
        mutation,
        variables,
        cacheConfig: { metadata: { idempotencyKey } },
        // A field that failed is null and has an error; a mutation with one field has then done nothing.
        onCompleted: (response, errors) => (errors?.length ? reject(failure(errors)) : resolve(response)),
        onError: reject,
      });
    });
  }

  #authorization() {
    return this.#tokens && { Authorization: `Bearer ${this.#tokens.accessToken}` };
  }

  async #fetch(request: RequestParameters, variables: Variables, key?: string): Promise<GraphQLResponse> {
    const token = this.#tokens?.accessToken;
    const response = await this.#post(request, variables, key);
    if (token !== undefined && isUnauthenticated(response.errors)) {
      await this.#renewed(token);
      return await this.#post(request, variables, key);
    }
    return response;
  }

  async #post({ text, name }: RequestParameters, variables: Variables, key?: string) {
    const response = await this.#consistentFetch(this.#url, {
      method: "POST",
      headers: {
        Accept: "application/graphql-response+json",
        "Content-Type": "application/json",
        ...this.#authorization(),
        ...(key && { "Idempotency-Key": key }),
      },
      body: JSON.stringify({ query: text, operationName: name, variables }),
    });
    return await response.json();
  }

  /** Follows a subscription across expired tokens. The first event after an interruption has the current state. */
  #follow(request: RequestParameters, variables: Variables): Observable<GraphQLResponse> {
    const token = this.#tokens?.accessToken;
    return this.#events(request, variables).catch((error) => {
      if (token === undefined || !(error instanceof Unauthenticated)) {
        throw error;
      }
      return Observable.from(this.#renewed(token)).mergeMap(() => this.#follow(request, variables));
    });
  }

  #events({ text, name }: RequestParameters, variables: Variables): Observable<GraphQLResponse> {
    return Observable.create((sink) => {
      const fail = (errors: unknown) => sink.error(isUnauthenticated(errors) ? new Unauthenticated() : failure(errors));
      return this.#sockets.subscribe(
        { query: text!, operationName: name, variables },
        {
          next: (result) =>
            isUnauthenticated(result.errors) ? fail(result.errors) : sink.next(result as GraphQLResponse),
          error: fail,
          complete: () => sink.complete(),
        },
      );
    });
  }

  /** Refreshes the tokens once, however many requests wait: using an old refresh token ends the session. */
  async #renewed(failed: string) {
    if (this.#tokens?.accessToken === failed) {
      this.#renewal ??= this.#renew(this.#tokens.refreshToken).finally(() => (this.#renewal = undefined));
      await this.#renewal;
    }
  }

  async #renew(refreshToken: string) {
    const { refreshSession } = await this.mutate<environmentRefreshSessionMutation>(
      graphql`
        mutation environmentRefreshSessionMutation($refreshToken: String!) {
          refreshSession(input: { refreshToken: $refreshToken }) {
            __typename
            ... on RefreshSessionSuccess {
              session {
                accessToken
                refreshToken
              }
            }
            ... on IncorrectCredentials {
              message
            }
          }
        }
      `,
      { refreshToken },
    );
    const result = present(refreshSession);
    switch (result.__typename) {
      case "RefreshSessionSuccess":
        this.use(present(result.session));
        return this.#sockets.terminate(); // they reconnect with the new token
      case "IncorrectCredentials":
        this.#tokens = undefined;
        throw new Error(result.message); // log in again
      case "%other":
        throw new Error("The server returned a type that this client doesn't know.");
      default:
        return unreachable(result);
    }
  }
}

class Unauthenticated extends Error {}

function isUnauthenticated(errors: unknown): boolean {
  return Array.isArray(errors) && errors.some(({ extensions }) => extensions?.code === "UNAUTHENTICATED");
}

function failure(errors: unknown): Error {
  return errors instanceof Error ? errors : new Error(JSON.stringify(errors));
}
