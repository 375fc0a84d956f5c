import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../schema.graphql",
  documents: ["src/**/*.{ts,tsx}", "!src/gql/**"],
  silent: true,
  generates: {
    "src/gql/": {
      preset: "client",
      presetConfig: { fragmentMasking: { unmaskFunctionName: "unmask" } },
      config: {
        enumsAsTypes: true,
        scalars: { CountryCode: "string", CurrencyCode: "string", DateTime: "string", Decimal: "`${number}`" },
        strictScalars: true,
        useTypeImports: true,
      },
    },
    "src/gql/introspection.ts": { plugins: ["urql-introspection"], config: { useTypeImports: true } },
  },
};

export default config;
