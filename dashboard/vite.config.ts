import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// Where `npm run dev` finds a control server.
const server = process.env.TIDEGATE_HTTP ?? "http://127.0.0.1:7014";

// The font comes with the page's styles, not after them: text that changes its font moves what is below it.
const fontFirst: Plugin = {
  name: "font-first",
  transformIndexHtml: {
    order: "post",
    handler: (_, { bundle }) =>
      Object.keys(bundle ?? {})
        .filter((name) => /inter-latin-wght-normal.*\.woff2$/.test(name))
        .map((name) => ({
          tag: "link",
          attrs: { rel: "preload", as: "font", type: "font/woff2", crossorigin: true, href: `/${name}` },
          injectTo: "head",
        })),
  },
};

export default defineConfig({
  plugins: [react(), fontFirst],
  build: {
    target: "es2022",
    // The page's policy lets nothing in that is not a file of this server.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    chunkSizeWarningLimit: 600,
    // A request costs more than some code that this page does not need: what the first page needs of
    // libraries is one file, and what several pages share is with what all pages need.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: "libraries", test: /node_modules\/(?!@fontsource)/, tags: ["$initial"], priority: 2 },
            { name: "icons", test: /lucide-react/, priority: 1 },
            { name: "shared", test: /\/src\//, minShareCount: 3 },
          ],
        },
      },
    },
  },
  server: {
    proxy: Object.fromEntries(
      ["/tidegate.", "/auth/", "/readyz"].map((path) => [path, { target: server, changeOrigin: false }]),
    ),
  },
  // Where a test needs a browser's objects, it says so in its first line: jsdom takes a second a file.
  test: { environment: "node", include: ["src/**/*.test.{ts,tsx}"] },
});
