/** Returns a `fetch` whose queries see all that its mutations wrote, even if a replica of the database answers them. */
export function consistentFetch(): typeof fetch {
  let tokens: string[] = [];
  return async (input, init) => {
    const known = tokens;
    const headers = new Headers(init?.headers);
    if (known.length > 0) headers.set("Consistency-Token", known.join(","));
    const response = await fetch(input, { ...init, headers });
    const token = response.headers.get("Consistency-Token");
    // It stands for everything that was known when the mutation was sent, but maybe not for one that was under way.
    if (token) tokens = [...tokens.filter((each) => !known.includes(each)), token];
    return response;
  };
}
