import { defineConfig } from "@playwright/test";
import e2e from "./playwright.config";

// Pictures of every page for docs/images: `npm run shots`, or `make screenshots`.
export default defineConfig({ ...e2e, projects: undefined, testDir: "shots", timeout: 1_800_000 });
