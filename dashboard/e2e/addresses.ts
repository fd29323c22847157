import { expect, type Page } from "@playwright/test";
import { pages } from "../src/pages/pages";
import { keys, type Seeded } from "./seed";

// What is shown of the seeded world where an address names a thing.
const shown = (ids: Seeded["ids"]): Record<string, string> => ({
  "/flags/:key": "/flags/checkout.one-page",
  "/segments/:key": "/segments/beta-testers",
  "/rollouts/:key": `/rollouts/${keys.running}`,
  "/experiments/:key": `/experiments/${keys.experiment}`,
  "/requests/:number": "/requests/1",
  "/people/:id": `/people/${ids.person}`,
  "/keys/:id": `/keys/${ids.key}`,
});

// Every page of the dashboard, by a name, with an address that shows it.
export function everyPage(ids: Seeded["ids"]): { name: string; address: string }[] {
  return pages.map(({ path }) => {
    const address = shown(ids)[path] ?? path;
    if (address.includes(":")) throw new Error(`e2e/addresses.ts does not say what to show at ${path}`);
    return { name: path.slice(1).replaceAll("~", "").replaceAll("/:", "-").replaceAll("/", "-"), address };
  });
}

// A page is there when it has its heading, is connected, and waits for nothing.
export async function settled(page: Page) {
  await expect(page.locator("main h1, main h2").first()).toBeVisible();
  await expect(page.locator(".skeleton")).toHaveCount(0);
  await expect(page.getByText(/Connecting|^Loading…$/)).toHaveCount(0);
  await page.evaluate(() => document.fonts.ready);
}
