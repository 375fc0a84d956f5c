// Lints schema.graphql with all rules of graphql-eslint for schemas, and with those for Relay. What differs from their
// recommendations is listed here, each with its reason.
"use strict";

const { readFileSync } = require("node:fs");
const graphql = require("@graphql-eslint/eslint-plugin");
const { buildSchema } = require("graphql");

const plugin = graphql.default ?? graphql;
const SCHEMA = "schema.graphql";

/** The members of results that are failures. They are part of one response, so they have no ID. */
function failures() {
  const schema = buildSchema(readFileSync(SCHEMA, "utf8"));
  const error = schema.getType("Error");
  return error ? schema.getPossibleTypes(error).map((type) => type.name) : [];
}

const EXCEPTIONS = {
  // The schema is sorted by name alone. The rule would have `id` first and timestamps last. It also compares the names of
  // types without case, while graphql's own `lexicographicSortSchema` sorts `CreateProductSuccess` before
  // `CreateProductsInput`.
  alphabetize: {
    definitions: false,
    fields: ["ObjectTypeDefinition", "InterfaceTypeDefinition", "InputObjectTypeDefinition"],
    values: true,
    arguments: ["FieldDefinition", "Field", "DirectiveDefinition", "Directive"],
  },
  // The rule is for APIs without mutations or subscriptions. This one has both.
  "no-root-type": "off",
  // A deprecation says in its reason when the field goes, which editors show. The argument `deletionDate`, which the rule
  // requires, isn't part of `@deprecated`. `tools/schema_changes.py` checks the reasons.
  "require-deprecation-date": "off",
  // Objects that can be fetched again implement `Node` and have an ID. The others are a part of the object, the page or
  // the result that contains them.
  "strict-id-in-types": {
    exceptions: {
      suffixes: ["Connection", "Edge", "Success", "Event"],
      types: [
        ...failures(),
        "InputIssue",
        "Money",
        "PageInfo",
        "Quote",
        "QuoteLine",
        "Session",
        "ShippingAddress",
        "StockShortage",
      ],
    },
  },
  // Connections also have `nodes`, for clients that need no cursors. Lists that are always short, such as `Order.items`,
  // `Order.totals` and `InvalidInput.issues`, have no pages.
  "relay-edge-types": { withEdgeSuffix: true, shouldImplementNode: true, listTypeCanWrapOnlyEdgeType: false },
};

const rules = { ...plugin.configs["flat/schema-all"].rules, ...plugin.configs["flat/schema-relay"].rules };
for (const [name, exception] of Object.entries(EXCEPTIONS)) {
  const rule = `@graphql-eslint/${name}`;
  if (!(rule in rules)) throw new Error(`There is no rule ${name} to make an exception of.`);
  rules[rule] = exception === "off" ? "off" : ["error", exception];
}

module.exports = [
  {
    files: ["**/*.graphql"],
    languageOptions: { parser: plugin.parser, parserOptions: { graphQLConfig: { schema: SCHEMA } } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    plugins: { "@graphql-eslint": plugin },
    rules,
  },
];
