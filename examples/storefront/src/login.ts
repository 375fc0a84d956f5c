import { Client, fetchExchange } from "urql";
import { graphql, unmask } from "./gql";
import type { LogInInput, LoginFragment, SignUpInput } from "./gql/graphql";
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
      ... on LogInSuccess { session { ...Login } }
      ... on IncorrectCredentials { message }
    }
  }
`);

const SignUp = graphql(`
  mutation SignUp($input: SignUpInput!) {
    signUp(input: $input) {
      __typename
      ... on SignUpSuccess { session { ...Login } }
      ... on Conflict { path message }
      ... on InvalidInput { issues { path message } }
    }
  }
`);

const RefreshSession = graphql(`
  mutation RefreshSession($refreshToken: String!) {
    refreshSession(input: { refreshToken: $refreshToken }) {
      __typename
      ... on RefreshSessionSuccess { session { ...Login } }
    }
  }
`);

const LogOut = graphql(`
  mutation LogOut($refreshToken: String!) {
    logOut(input: { refreshToken: $refreshToken }) { __typename }
  }
`);

/** The login of this tab. A duplicate of the tab starts with the same tokens. */
export const login = kept<LoginFragment | null>("login", null);

/** Sends no token, so it also works when there is no valid one. */
const tokenless = new Client({ url: "/graphql", exchanges: [fetchExchange], preferGetMethod: false });

/** What is wrong, by the name of the field, or of the whole `form`. */
export type Problems = Record<string, string>;

/** Logs in, or returns the reason why it failed. */
export async function logIn(input: LogInInput): Promise<Problems | undefined> {
  const { data, error } = await tokenless.mutation(LogIn, { input });
  const result = data?.logIn;
  if (result?.__typename === "IncorrectCredentials") return { form: result.message };
  if (!result?.session) return { form: messageOf(error) };
  login.set(unmask(Login, result.session));
  return undefined;
}

/** Creates an account and logs in, or returns the reasons why it failed. */
export async function signUp(input: SignUpInput): Promise<Problems | undefined> {
  const { data, error } = await tokenless.mutation(SignUp, { input });
  const result = data?.signUp;
  if (result?.__typename === "Conflict") return byField([result]);
  if (result?.__typename === "InvalidInput") return byField(result.issues);
  if (!result?.session) return { form: messageOf(error) };
  login.set(unmask(Login, result.session));
  return undefined;
}

function byField(issues: { path: string[]; message: string }[]): Problems {
  return Object.fromEntries(issues.map(({ path, message }) => [path.at(-1) ?? "form", message]));
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
  const { data } = await tokenless.mutation(RefreshSession, { refreshToken });
  const result = data?.refreshSession;
  if (!result || login.get() !== old) return; // no response: the next caller tries again
  login.set(result.__typename === "RefreshSessionSuccess" && result.session ? unmask(Login, result.session) : null);
  renewals.postMessage({ refreshToken, next: login.get() });
}

/** Shares new tokens with duplicates of the tab: if one of them used its old refresh token later, the session would end. */
const renewals = new BroadcastChannel("renewals");
renewals.onmessage = ({ data: { refreshToken, next } }: MessageEvent<{ refreshToken: string; next: LoginFragment | null }>) => {
  if (login.get()?.refreshToken === refreshToken) login.set(next);
};

const AHEAD = 10_000;

/** Milliseconds until the access token should be refreshed. */
export function timeLeft(): number {
  const expiresAt = login.get()?.expiresAt;
  return expiresAt ? Date.parse(expiresAt) - AHEAD - Date.now() : Infinity;
}
