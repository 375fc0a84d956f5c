// Audits a server by the specification of GraphQL over HTTP, and prints what came of each check, a JSON line each.
// node audit.cjs <folder of the packages> <URL>
"use strict";

const { createRequire } = require("node:module");
const [, , packages, url] = process.argv;
const { auditServer } = createRequire(`${packages}/`)("graphql-http");

auditServer({ url }).then((results) => {
  for (const { id, name, status, reason } of results) {
    process.stdout.write(JSON.stringify({ id, name, status, reason }) + "\n");
  }
});
