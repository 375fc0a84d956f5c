import { env } from "node:process";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Forward the browser's Host unchanged (no `changeOrigin`): the API compares a WebSocket's Origin with it.
const proxy = { "/graphql": { target: env.ORDERS_API ?? "http://127.0.0.1:8000", ws: true } };

export default defineConfig({
  plugins: [react()],
  server: { host: "127.0.0.1", proxy },
  preview: { host: "127.0.0.1", proxy },
});
