import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// The gateway that `npm run dev` forwards calls to.
const gateway = process.env.GATEWAY_URL ?? "http://localhost:8000";

export default defineConfig({
  plugins: [react()],
  resolve: {
    alias: {
      "@gen": here("../../gen/ts"),
      "@": here("src"),
      // The generated clients lie outside this folder, where no node_modules is found.
      "@bufbuild/protobuf": here("node_modules/@bufbuild/protobuf"),
    },
  },
  build: {
    target: "es2022",
    // The Content-Security-Policy allows no data: URLs for scripts and fonts.
    assetsInlineLimit: 0,
    manifest: true,
  },
  server: {
    proxy: {
      "^/agentmesh\\.": gateway,
      "/api": gateway,
      "/health": gateway,
      "/ready": gateway,
      "/openapi.json": gateway,
    },
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
  },
});
