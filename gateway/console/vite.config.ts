import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// The gateway that `npm run dev` forwards calls to.
const gateway = process.env.GATEWAY_URL ?? "http://localhost:8000";

// The gateway writes the nonce of each response's Content-Security-Policy in its place (gateway/envoy/console.py).
const noncePlaceholder = "00000000-0000-0000-0000-000000000000";

// The generated clients lie outside this folder, where no node_modules is found: their imports are resolved as if they were in src.
const generatedClients: Plugin = {
  name: "generated-clients",
  enforce: "pre",
  resolveId(source, importer) {
    if (!source.startsWith("@bufbuild/protobuf") || !importer?.startsWith(here("../../gen/ts"))) return null;
    return this.resolve(source, here("src/main.tsx"), { skipSelf: true });
  },
};

export default defineConfig({
  plugins: [generatedClients, react()],
  resolve: {
    alias: {
      "@gen": here("../../gen/ts"),
      "@": here("src"),
    },
  },
  html: { cspNonce: noncePlaceholder },
  build: {
    target: "es2022",
    // The Content-Security-Policy allows no data: URLs for scripts and fonts.
    assetsInlineLimit: 0,
    // No sourcemaps: they are larger than the console itself.
    sourcemap: false,
    // A warning about the size of a chunk would say less than the limit of the initial scripts, which `npm run size` checks.
    chunkSizeWarningLimit: 2000,
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
});
