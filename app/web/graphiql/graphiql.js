"use strict";

(() => {
  const CATALOG = `# Ctrl-Enter runs a query, Ctrl-Space completes it.
# On the left: documentation, history, and an
# explorer that builds queries from checkboxes.
# To log in, see the LogIn tab.

query Catalog {
  products(first: 5) {
    totalCount
    nodes {
      id
      name
      price {
        amount
        currency
      }
      store {
        name
        city
        country
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
`;

  const LOG_IN = `# After logging in, put this into a tab's headers:
#   {"Authorization": "Bearer <accessToken>"}
# The page replaces <accessToken> with the token of
# the last login, until you reload it.

mutation LogIn {
  logIn(
    input: {
      email: "customer@example.com"
      password: "…"
    }
  ) {
    ... on LogInSuccess {
      session {
        accessToken
        user {
          fullName
        }
      }
    }
    ... on IncorrectCredentials {
      message
    }
  }
}
`;

  /** Placeholder in headers for the token of the last login, which the page keeps until it is reloaded. */
  const TOKEN = "<accessToken>";
  const HISTORY_KEYS = ["graphiql:queries", "graphiql:favorites"];

  /**
   * The operation of the page's URL, if any. Links cannot set headers, as anyone can make one; they can only say that
   * the operation needs a login.
   */
  function linkedOperation() {
    const parameters = new URLSearchParams(location.search);
    if (!parameters.get("query")) return null;
    return {
      query: parameters.get("query"),
      variables: parameters.get("variables") ?? "",
      operationName: parameters.get("operationName") || undefined,
      headers: parameters.has("login") ? JSON.stringify({ Authorization: `Bearer ${TOKEN}` }, null, 2) : "",
    };
  }

  /** Local storage whose history omits headers: by default GraphiQL stores tokens there. */
  function createStorage() {
    const storage = GraphiQL.createLocalStorage({ namespace: "orders-api" });
    const { setItem } = storage;
    storage.setItem = (key, value) => setItem(key, HISTORY_KEYS.includes(key) ? withoutHeaders(value) : value);
    return storage;
  }

  function withoutHeaders(json) {
    return JSON.stringify(JSON.parse(json), (key, value) => (key === "headers" ? undefined : value));
  }

  /** Whether the user chose to keep headers. GraphiQL forgets it on reload, and `false` would hide the choice. */
  function persistsHeaders(storage) {
    return storage.getItem("graphiql:shouldPersistHeaders") === "true" || undefined;
  }

  /** Queries use HTTP, subscriptions a WebSocket; the headers tab becomes its connection_init payload. */
  function createFetcher(endpoint) {
    const url = new URL(endpoint, location.href).href;
    const send = GraphiQL.createFetcher({ url, subscriptionUrl: url.replace(/^http/, "ws") });
    let token;
    let written = [];

    /** The headers with the token filled in; before a login, headers that need it are left out. With the tokens of the
     * last mutations, queries see what they wrote, even if a replica of the database answers them. */
    function filled(headers = {}) {
      const all = Object.entries({ ...(written.length && { "Consistency-Token": written.join(",") }), ...headers });
      const needed = all.filter(([, value]) => token || !`${value}`.includes(TOKEN));
      return Object.fromEntries(needed.map(([name, value]) => [name, `${value}`.replace(TOKEN, () => token)]));
    }

    function remember(result) {
      token = accessTokenIn(result) ?? token;
      const wrote = result?.extensions?.consistencyToken;
      if (wrote) written = [...written.filter((each) => each !== wrote), wrote].slice(-10);
      return result;
    }

    /** A stream of results. It must stay the same object, whose own `return` ends a subscription. */
    function remembering(results) {
      const next = results.next.bind(results);
      results.next = async () => {
        const step = await next();
        remember(step.value);
        return step;
      };
      return results;
    }

    return async (parameters, options) => {
      const results = await send(parameters, { ...options, headers: filled(options?.headers) });
      return results[Symbol.asyncIterator] ? remembering(results) : remember(results);
    };
  }

  function accessTokenIn(result) {
    return Object.values(result?.data ?? {}).find((field) => field?.session?.accessToken)?.session.accessToken;
  }

  const root = document.getElementById("graphiql");
  const storage = createStorage();
  const link = linkedOperation();
  const settings = {
    fetcher: createFetcher(root.dataset.endpoint),
    storage,
    shouldPersistHeaders: persistsHeaders(storage),
    plugins: [GraphiQLPluginExplorer.explorerPlugin()],
    defaultEditorToolsVisibility: true,
    defaultTabs: [...(link ? [link] : []), { query: CATALOG }, { query: LOG_IN }],
    defaultQuery: "",
    inputValueDeprecation: true,
    ...(link && { query: link.query, variables: link.variables, headers: link.headers }),
  };

  /** The link's operationName applies while the active tab shows the link's document. */
  function Page() {
    const [operationName, setOperationName] = React.useState(link?.operationName);
    const onTabChange = React.useCallback(({ tabs, activeTabIndex }) => {
      setOperationName(tabs[activeTabIndex].query === link?.query ? link?.operationName : undefined);
    }, []);
    const title = React.createElement("h1", null, "Orders API");
    const logo = React.createElement(GraphiQL.Logo, null, title);
    return React.createElement(GraphiQL, { ...settings, operationName, onTabChange }, logo);
  }

  ReactDOM.createRoot(root).render(React.createElement(Page));
})();
