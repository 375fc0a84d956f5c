import type { CombinedError } from "urql";

/** For the `default` of a switch over a result's types: compilation fails when the schema adds a type. */
export function unexpected(result: never): string {
  return `Unexpected result: ${JSON.stringify(result)}`;
}

/** The message to show for an error. */
export function messageOf(error: CombinedError | undefined): string {
  return error?.graphQLErrors[0]?.message ?? "The shop isn't responding. Please try again.";
}

/** Whether an error has this code. */
export function isCode(error: CombinedError | undefined, code: string): boolean {
  return error?.graphQLErrors.some(({ extensions }) => extensions.code === code) ?? false;
}
