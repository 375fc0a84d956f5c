/** A login to the Orders API: sends documents by hash, refreshes its token, follows subscriptions. */

import type { FormattedExecutionResult, GraphQLFormattedError } from "graphql";
import { createClient, type Client } from "graphql-ws";
import { WebSocket } from "ws";

import { consistentFetch } from "./consistency.js";
import { graphql } from "./gql/gql.js";
import type { LogInInput, TypedDocumentString } from "./gql/graphql.js";

const LogIn = graphql(`
  mutation LogIn($input: LogInInput!) {
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
      ... on Error {
        message
      }
    }
  }
`);

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

/** A failure that isn't a type of the result, with its `extensions.code`. */
export class Failure extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(`${code}: ${message}`);
  }
}

/** Returns a value that is null only where something failed, which has been thrown as an error already. */
export function present<T>(value: T | null | undefined): T {
  if (value == null) {
    throw new Failure("MISSING_DATA", "The response lacks data and an error.");
  }
  return value;
}

/** Fails to compile if a member of a union is not handled. */
export function unreachable(value: never): never {
  throw new Failure("UNKNOWN_RESULT", JSON.stringify(value));
}

interface Tokens {
  accessToken: string;
  refreshToken: string;
}

interface Answer<Result> {
  data: Result;
  /** Whether this is the stored response of an earlier request with the same Idempotency-Key. */
  replayed: boolean;
}

export class ApiClient {
  #tokens: Tokens | undefined;
  #renewing: Promise<void> | undefined;
  #socket: Client | undefined;
  readonly #fetch = consistentFetch();

  constructor(readonly url: string) {}

  /** Logs in. Returns the failure if the credentials are wrong. */
  async logIn(input: LogInInput) {
    const result = present((await this.request(LogIn, { input })).logIn);
    if (result.__typename === "LogInSuccess") {
      this.#tokens = present(result.session);
    }
    return result;
  }

  /** Sends an operation. If the token has expired, refreshes it and sends the operation again. */
  async request<Result, Variables>(document: TypedDocumentString<Result, Variables>, variables: Variables) {
    return (await this.send(document, variables)).data;
  }

  /** The same, with an Idempotency-Key: a mutation that is sent again with this key takes effect only once. */
  async send<Result, Variables>(
    document: TypedDocumentString<Result, Variables>,
    variables: Variables,
    idempotencyKey?: string,
  ): Promise<Answer<Result>> {
    const token = this.#tokens?.accessToken;
    try {
      return await this.#post(document, variables, idempotencyKey);
    } catch (error) {
      await this.#renewOrThrow(error, token);
      return await this.#post(document, variables, idempotencyKey);
    }
  }

  /** Follows a subscription across expired tokens. The first event after an interruption has the current state. */
  async *follow<Result, Variables>(
    document: TypedDocumentString<Result, Variables>,
    variables: Variables & Record<string, unknown>,
  ): AsyncGenerator<Result> {
    for (;;) {
      const token = this.#tokens?.accessToken;
      try {
        for await (const result of this.#connected().iterate({ ...named(document), variables })) {
          yield dataOf(result as FormattedExecutionResult<Result>);
        }
        return;
      } catch (error) {
        await this.#renewOrThrow(Array.isArray(error) ? failureOf(error[0]) : error, token);
      }
    }
  }

  async close() {
    await this.#socket?.dispose();
  }

  /** Simulates an access token that has expired. */
  expire() {
    this.#tokens = this.#tokens && { ...this.#tokens, accessToken: "expired" };
  }

  #connected(): Client {
    this.#socket ??= createClient({
      url: this.url.replace(/^http/, "ws"),
      webSocketImpl: WebSocket,
      connectionParams: () => this.#authorization(),
      retryAttempts: 10,
    });
    return this.#socket;
  }

  #authorization() {
    return this.#tokens && { Authorization: `Bearer ${this.#tokens.accessToken}` };
  }

  /** Refreshes the tokens once, however many requests wait: using an old refresh token ends the session. */
  async #renewOrThrow(error: unknown, token: string | undefined) {
    if (!(error instanceof Failure && error.code === "UNAUTHENTICATED" && token !== undefined)) {
      throw error;
    }
    if (this.#tokens?.accessToken === token) {
      this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
      await this.#renewing;
    }
  }

  async #renew() {
    const refreshToken = this.#tokens?.refreshToken ?? "";
    const result = present((await this.#post(RefreshSession, { refreshToken })).data.refreshSession);
    switch (result.__typename) {
      case "RefreshSessionSuccess":
        this.#tokens = present(result.session);
        this.#socket?.terminate(); // it reconnects with the new token
        return;
      case "IncorrectCredentials":
        this.#tokens = undefined;
        throw new Failure("UNAUTHENTICATED", result.message); // log in again
      default:
        unreachable(result);
    }
  }

  async #post<Result, Variables>(
    document: TypedDocumentString<Result, Variables>,
    variables: Variables,
    idempotencyKey?: string,
  ): Promise<Answer<Result>> {
    const response = await this.#fetch(this.url, {
      method: "POST",
      headers: {
        Accept: "application/graphql-response+json",
        "Content-Type": "application/json",
        ...this.#authorization(),
        ...(idempotencyKey && { "Idempotency-Key": idempotencyKey }),
      },
      body: JSON.stringify({ documentId: hashOf(document), variables }),
    });
    const replayed = response.headers.get("Idempotency-Replayed") === "true";
    return { data: dataOf((await response.json()) as FormattedExecutionResult<Result>), replayed };
  }
}

function hashOf(document: TypedDocumentString<any, any>): string {
  return document.__meta__?.["hash"];
}

/** Refers to a document over graphql-ws: `query` is required there, and `extensions` contains the hash. */
function named(document: TypedDocumentString<any, any>) {
  return { query: "", extensions: { persistedQuery: { version: 1, sha256Hash: hashOf(document) } } };
}

function dataOf<Result>({ data, errors }: FormattedExecutionResult<Result>): Result {
  if (errors?.[0] || !data) {
    throw failureOf(errors?.[0]);
  }
  return data;
}

function failureOf(error?: GraphQLFormattedError): Failure {
  return new Failure(String(error?.extensions?.["code"]), error?.message ?? "The response has no data.");
}
