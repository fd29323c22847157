import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, type Page, test } from "@playwright/test";
import { everyPage, settled } from "../e2e/addresses";
import { logIn } from "../e2e/fixtures";
import { awaitState, keys, people, type Seeded, seed } from "../e2e/seed";

const images = resolve(import.meta.dirname, "../../docs/images");
const themes = ["light", "dark"] as const;
const sizes = [
  { width: 1280, height: 900 },
  { width: 390, height: 844 },
];
const looks = themes.flatMap((theme) => sizes.map((size) => ({ theme, size })));
// ONLY=flags,rollout: the pictures whose names begin so.
const only = (process.env.ONLY ?? "").split(",").filter(Boolean);

// A picture: what address is opened, and what is done there before and after.
type Picture = {
  name: string;
  address: string;
  before?: (page: Page, s: Seeded) => Promise<void>;
  after?: (s: Seeded) => Promise<void>;
};

const inProduction = { environment: "production" };

const flag = "/flags/checkout.one-page";

// What pages.ts does not list: parts of pages, dialogs, and pages where something is amiss.
const others: Picture[] = [
  { name: "flag-variants", address: "/flags/search.ranking-model?tab=variants" },
  { name: "flag-try", address: `${flag}?tab=try` },
  { name: "flag-history", address: "/flags/fraud.step-up?tab=history" },
  { name: "flag-raw", address: `${flag}?tab=raw` },
  { name: "rollout-shut", address: `/rollouts/${keys.shut}` },
  { name: "not-found", address: "/nowhere" },
  { name: "dialog-save", address: "/flags/search.synonyms?tab=settings", before: review },
  { name: "dialog-off", address: "/flags/web.service-worker", before: turnOff, after: turnOn },
];

// Late: what is done for them is seen on other pages.
const late = ["fleet", "dialog-off"];

test("pictures of every page", async ({ browser }) => {
  const s: Seeded = await seed();
  try {
    mkdirSync(images, { recursive: true });
    await awaitState(s.ben, keys.shut, "STATE_ROLLED_BACK");
    const converter = await browser.newPage();
    const page = await browser.newPage({ reducedMotion: "reduce" });
    const wanted = (name: string) => only.length === 0 || only.some((o) => name.startsWith(o));
    const shoot = async (name: string) => {
      const picture = await asWebP(converter, await page.screenshot());
      writeFileSync(join(images, `${name}-${page.viewportSize()?.width}.webp`), picture);
    };
    const take = async (p: Picture, ready: () => Promise<void>) => {
      for (const look of wanted(p.name) ? looks : []) {
        await page.setViewportSize(look.size);
        await page.emulateMedia({ colorScheme: look.theme });
        await page.goto(`${s.world.url}${p.address}`);
        await ready();
        await p.before?.(page, s);
        await shoot(`${p.name}-${look.theme}`);
        await p.after?.(s);
      }
    };
    await take({ name: "login", address: "/" }, () => expect(page.getByLabel("Password")).toBeVisible());
    await page.setViewportSize({ width: 1280, height: 900 });
    await logIn(page, s.world, people.ada);
    await evaluated(page, s);
    const all: Picture[] = [...everyPage(s.ids), ...others];
    for (const p of all) if (p.name === "fleet") p.before = travel;
    for (const p of all.sort((a, b) => late.indexOf(a.name) - late.indexOf(b.name)))
      await take({ ...p, address: `/production${p.address}` }, () => settled(page));
    if (!wanted("server-gone")) return;
    // The server goes, and the page stays.
    await page.goto(`${s.world.url}/production/rollouts/${keys.running}`);
    await settled(page);
    await s.world.stopServer();
    await expect(page.getByText(/The server cannot be reached/)).toBeVisible();
    for (const look of looks) {
      await page.setViewportSize(look.size);
      await page.emulateMedia({ colorScheme: look.theme });
      await shoot(`server-gone-${look.theme}`);
    }
  } finally {
    await s.traffic.stop();
    await s.world.stop();
  }
});

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
    await s.ben.call("FlagService/SetEnabled", { ...inProduction, flagKey, enabled, reason: "a drill" });
  await expect(page.getByText(/had applied it/)).toBeVisible();
  await expect(page.getByText("5 of 5 relays have it")).toBeVisible();
}

// What would be saved, and why. It is not saved; the draft is gone for the next picture.
async function review(page: Page) {
  await page.getByLabel("Description").fill("Synonyms of the customer’s language, from the dictionary of 2026");
  await page.getByRole("button", { name: "Review and save" }).click();
  await expect(page.getByText("The server has checked it.")).toBeVisible();
  await page.getByLabel("Why").fill("The old dictionary is not maintained any more");
  await page.evaluate(() => sessionStorage.clear());
}

// The kill switch, and its receipt.
async function turnOff(page: Page) {
  await page.getByRole("switch").click();
  await page.getByLabel("Why").fill("Old pages are served after a deployment, INC-2107");
  await page.getByRole("button", { name: "Turn off" }).click();
  await expect(page.getByText("5 of 5 relays have it")).toBeVisible();
}

async function turnOn(s: Seeded) {
  const reason = "the caches are cleared";
  await s.ben.call("FlagService/SetEnabled", { ...inProduction, flagKey: "web.service-worker", enabled: true, reason });
}
