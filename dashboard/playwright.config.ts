import { existsSync, readdirSync } from "node:fs";
import { defineConfig } from "@playwright/test";

// The system's Chromium; CHROMIUM names another one.
const chromium = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path && existsSync(path));

export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results",
  // Each file is a project, as projects share no worker: so it has a server, a relay and a browser of
  // its own. Two at a time: each waits much, and a machine may be small.
  projects: readdirSync("e2e")
    .filter((name) => name.endsWith(".spec.ts"))
    .map((name) => ({ name: name.replace(".spec.ts", ""), testMatch: name })),
  workers: 2,
  fullyParallel: false,
  forbidOnly: true,
  timeout: 120_000,
  expect: { timeout: 15_000 },
  reporter: [["list"]],
  use: {
    viewport: { width: 1280, height: 900 },
    // What waits longer waits for ever, and is to say for what.
    actionTimeout: 30_000,
    trace: "retain-on-failure",
    launchOptions: {
      executablePath: chromium,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
});
