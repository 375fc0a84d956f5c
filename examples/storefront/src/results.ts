import type { CombinedError } from "urql";

/** For the `default` of a switch over a result's types: compilation fails when the schema adds a type. */
export function unexpected(result: never): string {
  return `Unexpected result: ${JSON.stringify(result)}`;
}

/** The message to show for an error. */
export function messageOf(error: CombinedError | undefined): string {
  return error?.graphQLErrors[0]?.message ?? "The shop isn't responding. Please try again.";
}

/** Whether what a page shows doesn't exist, or this user can't see it, or its address was mistyped. */
export function isMissing(error: CombinedError | undefined): boolean {
  return isCode(error, "NOT_FOUND") || isCode(error, "BAD_USER_INPUT");
}

/** Whether an error has this code. */
export function isCode(error: CombinedError | undefined, code: string): boolean {
  return error?.graphQLErrors.some(({ extensions }) => extensions.code === code) ?? false;
}
