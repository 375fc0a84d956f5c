import { Client, fetchExchange } from "urql";
import { graphql, unmask } from "./gql";
import type { LoginFragment } from "./gql/graphql";
import { kept } from "./kept";
import { told } from "./results";

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

/** Who is logged in, in this tab; a copy of the tab begins with the same tokens. */
export const login = kept<LoginFragment | null>("login", null);

/** Needs no token, and so works while there is no good one. */
const tokenless = new Client({ url: "/graphql", exchanges: [fetchExchange], preferGetMethod: false });

/** Log in, or return why not. */
export async function logIn(email: string, password: string): Promise<string | undefined> {
  const { data, error } = await tokenless.mutation(LogIn, { input: { email, password } });
  if (!data) return told(error);
  if (data.logIn.__typename !== "Session") return data.logIn.message;
  login.set(unmask(Login, data.logIn));
  return undefined;
}

/** Log out here at once, and then at the API. */
export async function logOut() {
  const refreshToken = login.get()?.refreshToken;
  login.set(null);
  if (refreshToken) await tokenless.mutation(LogOut, { refreshToken });
}

let renewal: Promise<void> | undefined;

/** Get new tokens; whoever asks while they are under way gets the same ones. */
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
  if (!data || login.get() !== old) return; // not reached: whoever needs the tokens will ask again
  login.set(data.refreshSession.__typename === "Session" ? unmask(Login, data.refreshSession) : null);
}

/**
 * A refresh token is good for one renewal, and used twice it ends the login. Under the same key it is the same renewal: when the
 * answer was lost, and in a copy of this tab.
 */
async function keyOf(refreshToken: string) {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(refreshToken));
  return btoa(String.fromCharCode(...new Uint8Array(hash)));
}

const AHEAD = 10_000;

/** How many milliseconds the access token should still be used. */
export function timeLeft(): number {
  const expiresAt = login.get()?.expiresAt;
  return expiresAt ? Date.parse(expiresAt) - AHEAD - Date.now() : Infinity;
}
