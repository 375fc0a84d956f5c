// Validates documents against a schema with GraphQL Inspector. Reads a JSON object from standard input:
//   { "schema": the text of the schema, "clients": [{ "name": …, "sources": [{ "name": …, "text": … }] }] }
// Sources are documents or TypeScript that contains some; those of a client share their fragments. Prints a JSON list of
// { client, definitions: how many there are, problems: [{ source, messages }] }.
"use strict";

const { readFileSync } = require("node:fs");
const inspector = require("@graphql-inspector/core");
const { gqlPluckFromCodeStringSync } = require("@graphql-tools/graphql-tag-pluck");
const { Source, buildASTSchema, extendSchema, parse, parseValue, print, visit } = require("graphql");

// What clients understand themselves and don't send.
const OF_APOLLO = `
  directive @client(always: Boolean) on FIELD
  directive @export(as: String!) on FIELD
  directive @nonreactive on FIELD | FRAGMENT_SPREAD
`;
const OF_RELAY = `
  enum RequiredAction { NONE LOG THROW }
  directive @alias(as: String) on FRAGMENT_SPREAD | INLINE_FRAGMENT
  directive @appendEdge(connections: [ID!]!) on FIELD
  directive @appendNode(connections: [ID!]!, edgeTypeName: String!) on FIELD
  directive @connection(key: String!, filters: [String!]) on FIELD
  directive @deleteEdge(connections: [ID!]!) on FIELD
  directive @deleteRecord on FIELD
  directive @prependEdge(connections: [ID!]!) on FIELD
  directive @prependNode(connections: [ID!]!, edgeTypeName: String!) on FIELD
  directive @raw_response_type on QUERY | MUTATION | SUBSCRIPTION
  directive @refetchable(queryName: String!) on FRAGMENT_DEFINITION
  directive @relay(mask: Boolean, plural: Boolean) on FRAGMENT_DEFINITION | FRAGMENT_SPREAD
  directive @required(action: RequiredAction!) on FIELD
  directive @throwOnFieldError on QUERY | MUTATION | SUBSCRIPTION | FRAGMENT_DEFINITION
`;

const { schema: sdl, clients } = JSON.parse(readFileSync(0, "utf8"));
const schema = extendSchema(buildASTSchema(parse(sdl)), parse(OF_APOLLO + OF_RELAY));

const results = clients.map(({ name, sources }) => {
  const documents = sources.flatMap(documentsIn);
  const parameters = Object.assign({}, ...documents.flatMap(({ ast }) => ast.definitions.map(parametersOf)));
  const problems = inspector.validate(withArguments(parameters), documents.map(asSource)).map((invalid) => ({
    source: invalid.source.name,
    messages: [...invalid.errors, ...invalid.deprecated].map(({ message }) => message),
  }));
  return { client: name, definitions: documents.flatMap(({ ast }) => ast.definitions).length, problems };
});
process.stdout.write(JSON.stringify(results));

function documentsIn({ name, text }) {
  const plucked = /\.tsx?$/.test(name)
    ? gqlPluckFromCodeStringSync(name, text, { globalGqlIdentifierName: ["gql", "graphql"] })
    : [new Source(text)];
  return plucked.map((source) => ({ name, ast: parse(source) }));
}

/** Returns the types of the parameters that a fragment of Relay has: `@argumentDefinitions(count: { type: "Int" })`. */
function parametersOf(definition) {
  const declared = definition.directives.filter(declaresParameters).flatMap((directive) => directive.arguments);
  const typeOf = ({ value }) => value.fields.find((field) => field.name.value === "type").value.value;
  return Object.fromEntries(declared.map((argument) => [argument.name.value, typeOf(argument)]));
}

function declaresParameters(directive) {
  return directive.name.value === "argumentDefinitions";
}

/** Returns the schema, with `@arguments` for these parameters. */
function withArguments(parameters) {
  const given = Object.entries(parameters).map(([name, type]) => `${name}: ${type.replace(/!$/, "")}`);
  return given.length ? extendSchema(schema, parse(`directive @arguments(${given.join(" ")}) on FRAGMENT_SPREAD`)) : schema;
}

/** Rewrites a document of Relay as GraphQL: the parameters of a fragment become examples of their types. */
function asSource({ name, ast }) {
  const rewritten = visit(ast, {
    FragmentDefinition(definition) {
      const parameters = parametersOf(definition);
      const directives = definition.directives.filter((directive) => !declaresParameters(directive));
      return visit({ ...definition, directives }, { Variable: ({ name }) => example(parameters[name.value]) });
    },
  });
  return new Source(print(rewritten), name);
}

/** Returns a value of a type; undefined leaves the variable as it is. */
function example(type) {
  const examples = { Boolean: "true", ID: '"1"', Int: "1", String: '"a"' };
  return type && parseValue(examples[type.replace(/!$/, "")] ?? "null");
}
