import { Client, fetchExchange } from "urql";
import { graphql, unmask } from "./gql";
import type { LoginFragment } from "./gql/graphql";
import { kept } from "./kept";
import { messageOf } from "./results";

const Login = graphql(`
  fragment Login on Session {
    accessToken refreshToken expiresAt
    user { id fullName stores(first: 0) { totalCount } }
  }
`);

const LogIn = graphql(`
  mutation LogIn($input: LogInInput!) {
    logIn(input: $input) {
      __typename
      ...Login
      ... on IncorrectCredentials { message }
    }
  }
`);

const RefreshSession = graphql(`
  mutation RefreshSession($refreshToken: String!) {
    refreshSession(refreshToken: $refreshToken) {
      __typename
      ...Login
    }
  }
`);

const LogOut = graphql(`
  mutation LogOut($refreshToken: String!) { logOut(refreshToken: $refreshToken) }
`);

/** The login of this tab. A duplicate of the tab starts with the same tokens. */
export const login = kept<LoginFragment | null>("login", null);

/** Sends no token, so it also works when there is no valid one. */
const tokenless = new Client({ url: "/graphql", exchanges: [fetchExchange], preferGetMethod: false });

/** Logs in, or returns the reason why it failed. */
export async function logIn(email: string, password: string): Promise<string | undefined> {
  const { data, error } = await tokenless.mutation(LogIn, { input: { email, password } });
  if (!data) return messageOf(error);
  if (data.logIn.__typename !== "Session") return data.logIn.message;
  login.set(unmask(Login, data.logIn));
  return undefined;
}

/** Logs out here at once, then at the API. */
export async function logOut() {
  const refreshToken = login.get()?.refreshToken;
  login.set(null);
  if (refreshToken) await tokenless.mutation(LogOut, { refreshToken });
}

let renewal: Promise<void> | undefined;

/** Requests new tokens. Concurrent callers share one request. */
export function renew(): Promise<void> {
  renewal ??= exchangeTokens().finally(() => (renewal = undefined));
  return renewal;
}

async function exchangeTokens() {
  const old = login.get();
  if (!old) return;
  const { refreshToken } = old;
  const headers = { "Idempotency-Key": await keyOf(refreshToken) };
  const { data } = await tokenless.mutation(RefreshSession, { refreshToken }, { fetchOptions: { headers } });
  if (!data || login.get() !== old) return; // no response: the next caller tries again
  login.set(data.refreshSession.__typename === "Session" ? unmask(Login, data.refreshSession) : null);
}

/**
 * Returns an Idempotency-Key for a refresh token, which works once and ends the session if it is used twice. With the same key,
 * a retry after a lost response is the same refresh, and so is the refresh of a duplicated tab.
 */
async function keyOf(refreshToken: string) {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(refreshToken));
  return btoa(String.fromCharCode(...new Uint8Array(hash)));
}

const AHEAD = 10_000;

/** Milliseconds until the access token should be refreshed. */
export function timeLeft(): number {
  const expiresAt = login.get()?.expiresAt;
  return expiresAt ? Date.parse(expiresAt) - AHEAD - Date.now() : Infinity;
}
