// Follows a product with the clients that frontends use, and prints what they are told, a JSON line each.
// node clients.cjs <folder of the packages> <number of each> <id of a product> <URL> …
"use strict";

const { createRequire } = require("node:module");
const [, , packages, number, productId, ...urls] = process.argv;
const packaged = createRequire(`${packages}/`);

const query = "subscription ($id: ID!) { productUpdated(productId: $id) { product { stock } } }";
const RETRIES = { retryAttempts: Infinity, retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)) };

function print(client, what) {
  process.stdout.write(JSON.stringify({ client, ...what }) + "\n");
}

function follow(name, client) {
  client.subscribe(
    { query, variables: { id: productId } },
    {
      next: (result) => print(name, { stock: result.data?.productUpdated?.product?.stock, errors: result.errors }),
      error: (error) => print(name, { error: String(error?.message ?? error) }),
      complete: () => print(name, { completed: true }),
    },
  );
}

for (const [place, url] of urls.entries()) {
  for (let count = 0; count < Number(number); count += 1) {
    const ws = `ws ${place} ${count}`;
    follow(
      ws,
      packaged("graphql-ws").createClient({
        url: url.replace("http", "ws"),
        webSocketImpl: packaged("ws"),
        connectionParams: { Authorization: `Bearer ${process.env.TOKEN}` },
        ...RETRIES,
        shouldRetry: () => true, // also where nobody listens for a moment
        on: { closed: (event) => print(ws, { closed: event.code }) },
      }),
    );
    follow(
      `sse ${place} ${count}`,
      packaged("graphql-sse").createClient({
        url,
        headers: { Authorization: `Bearer ${process.env.TOKEN}` },
        retryAttempts: RETRIES.retryAttempts,
        retry: RETRIES.retryWait,
      }),
    );
  }
}
