import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, type Page, test } from "@playwright/test";
import { everyPage, settled } from "../e2e/addresses";
import { logIn } from "../e2e/fixtures";
import { awaitState, people, type Seeded, seed } from "../e2e/seed";

const images = resolve(import.meta.dirname, "../../docs/images");
const themes = ["light", "dark"] as const;
const sizes = [
  { width: 1280, height: 900 },
  { width: 390, height: 844 },
];

const nameOf = (path: string) => path.slice(1).replaceAll("~", "").replaceAll("/:", "-").replaceAll("/", "-");

// WebP by the browser's own hands: a fifth of a PNG.
async function asWebP(page: Page, png: Buffer): Promise<Buffer> {
  const url = await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    canvas.getContext("2d")?.drawImage(picture, 0, 0);
    const blob = await canvas.convertToBlob({ type: "image/webp", quality: 0.86 });
    return btoa(Array.from(new Uint8Array(await blob.arrayBuffer()), (b) => String.fromCharCode(b)).join(""));
  }, png.toString("base64"));
  return Buffer.from(url, "base64");
}

test("pictures of every page", async ({ browser }) => {
  const s: Seeded = await seed();
  try {
    mkdirSync(images, { recursive: true });
    await awaitState(s.ben, "semantic-1", "STATE_ROLLED_BACK");
    const converter = await browser.newPage();
    const page = await browser.newPage({ reducedMotion: "reduce" });
    await logIn(page, s.world, people.ada);
    await evaluated(page, s);
    // What the fleet is shown by leaves entries behind: it is last.
    const order = everyPage(s.ids).sort((a, b) => Number(a.path === "/fleet") - Number(b.path === "/fleet"));
    for (const { path, address } of order)
      for (const theme of themes)
        for (const size of sizes) {
          await page.setViewportSize(size);
          await page.evaluate((t) => localStorage.setItem("tidegate-theme", t), theme);
          await page.goto(`${s.world.url}/production${address}`);
          await settled(page);
          if (path === "/fleet") await travel(page, s);
          const picture = await asWebP(converter, await page.screenshot());
          writeFileSync(join(images, `${nameOf(path)}-${theme}-${size.width}.webp`), picture);
        }
  } finally {
    await s.traffic.stop();
    await s.world.stop();
  }
});

// Relays tell once a minute what was evaluated.
async function evaluated(page: Page, s: Seeded) {
  await page.goto(`${s.world.url}/production/flags`);
  const some = page.getByRole("img", { name: /Evaluations in the last hour/ }).first();
  await expect(some).toBeVisible({ timeout: 180_000 });
}

// A change, so that the fleet has something to show.
async function travel(page: Page, s: Seeded) {
  await expect(page.getByText(/relays have it/)).toBeVisible();
  const flagKey = "ops.postgres-replica";
  for (const enabled of [false, true])
    await s.ben.call("FlagService/SetEnabled", { environment: "production", flagKey, enabled, reason: "a drill" });
  await expect(page.getByText(/Half of the relays/)).toBeVisible();
  await expect(page.getByText("3 of 3 relays have it")).toBeVisible();
}
