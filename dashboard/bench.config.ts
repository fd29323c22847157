import { defineConfig } from "@playwright/test";
import e2e from "./playwright.config";

// What a page of 10,000 flags costs: `npm run bench`, or `make bench ONLY=dashboard`.
export default defineConfig({
  ...e2e,
  projects: undefined,
  testDir: "bench",
  timeout: 1_200_000,
  reporter: [["./bench/only-table.ts"]],
  use: { ...e2e.use, trace: "off" },
});
