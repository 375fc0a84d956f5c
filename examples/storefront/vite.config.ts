import { env } from "node:process";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The browser's Host is passed on as it is (no `changeOrigin`): it is what the API compares a websocket's Origin with.
const proxy = { "/graphql": { target: env.ORDERS_API ?? "http://127.0.0.1:8000", ws: true } };

export default defineConfig({
  plugins: [react()],
  server: { host: "127.0.0.1", proxy },
  preview: { host: "127.0.0.1", proxy },
});
