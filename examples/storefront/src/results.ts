import type { CombinedError } from "urql";

/** For the `default` of a switch over a result's types: the compiler says so when the schema gets a new one. */
export function unexpected(result: never): string {
  return `Unexpected answer: ${JSON.stringify(result)}`;
}

/** What to tell the user of what is no answer. */
export function told(error: CombinedError | undefined): string {
  return error?.graphQLErrors[0]?.message ?? "The shop does not answer. Please try again.";
}

/** Whether that is what went wrong. */
export function isCode(error: CombinedError | undefined, code: string): boolean {
  return error?.graphQLErrors.some(({ extensions }) => extensions.code === code) ?? false;
}
