"""The spine of the GraphQL API: the schema, how it is served, and what every domain's types build on."""
