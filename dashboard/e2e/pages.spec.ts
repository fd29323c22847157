import { test as base, expect, type Page } from "@playwright/test";
import { everyPage, settled } from "./addresses";
import { stumblingBlocks } from "./axe";
import { beyond, narrow, wide } from "./beyond";
import { logIn } from "./fixtures";
import { awaitState, keys, people, type Seeded, seed } from "./seed";

const test = base.extend<object, { seeded: Seeded }>({
  seeded: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads it
    async ({}, use) => {
      const seeded = await seed();
      try {
        await awaitState(seeded.ben, keys.shut, "STATE_ROLLED_BACK");
        await seeded.traffic.stop();
        await use(seeded);
      } finally {
        await seeded.world.stop();
      }
    },
    { scope: "worker", timeout: 240_000 },
  ],
});

test.use({ reducedMotion: "reduce" });
test.setTimeout(600_000);

// Looks at what is shown, light and dark; goes on where something is wrong.
async function look(page: Page, at: string, size = wide) {
  const found: string[] = [];
  const over = await beyond(page);
  if (over > 0) found.push(`${over} px too wide`);
  // What is narrow has the colours of what is wide.
  for (const theme of size === narrow ? (["dark"] as const) : (["dark", "light"] as const))
    found.push(...(await stumblingBlocks(page, theme)));
  expect.soft(found, at).toEqual([]);
}

// How much may move while a page loads: a line, not a block.
const mostShift = 0.02;

// From now on, what moved although nobody asked for it.
async function watchShifts(page: Page) {
  await page.addInitScript(() => {
    const seen: { by: number; what: string }[] = [];
    Object.assign(window, { shifts: seen });
    new PerformanceObserver((list) => {
      for (const e of list.getEntries() as (PerformanceEntry & {
        value: number;
        hadRecentInput: boolean;
        sources: { node?: Element }[];
      })[])
        if (!e.hadRecentInput)
          seen.push({ by: e.value, what: e.sources.map((s) => s.node?.className || s.node?.nodeName).join(", ") });
    }).observe({ type: "layout-shift", buffered: true });
  });
}

// Every page: nothing is wrong for who cannot see it well, nothing jumps, and nothing is complained of.
for (const size of [wide, narrow])
  test(`every page, ${size.width} wide`, async ({ page, seeded }) => {
    await page.setViewportSize(size);
    await logIn(page, seeded.world, people.ada, size === narrow);
    await watchShifts(page);
    const wrong: string[] = [];
    page.on("pageerror", (e) => wrong.push(`${page.url()}: ${e}`));
    page.on("console", (m) => {
      if (m.type() === "error" || m.type() === "warning") wrong.push(`${page.url()}: ${m.text()}`);
    });
    for (const { name, address } of everyPage(seeded.ids)) {
      await page.goto(`${seeded.world.url}/production${address}`);
      await settled(page);
      const shifts = await page.evaluate(
        () => (window as unknown as { shifts: { by: number; what: string }[] }).shifts,
      );
      const moved = shifts.reduce((sum, s) => sum + s.by, 0);
      if (moved > mostShift)
        wrong.push(`${name} jumps by ${moved.toFixed(3)}: ${shifts.map((s) => s.what).join("; ")}`);
      await look(page, name, size);
    }
    expect(wrong).toEqual([]);
  });

test("parts of pages, and what is empty, gone or wrong", async ({ page, seeded }) => {
  const { url } = seeded.world;
  await page.goto(url);
  await page.getByLabel("E-mail address").fill("nobody@example.com");
  await page.getByLabel("Password").fill("not the password at all");
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("alert")).toBeVisible();
  await look(page, "a login that failed");
  await logIn(page, seeded.world, people.ada);
  for (const address of [
    "production/flags/checkout.one-page?tab=variants",
    "production/flags/checkout.one-page?tab=try",
    "production/flags/search.synonyms?tab=history",
    "production/flags/checkout.one-page?tab=settings",
    "production/flags/checkout.one-page?tab=raw",
    "production/segments/beta-testers?tab=history",
    "production/segments/beta-testers?tab=settings",
    `production/rollouts/${keys.shut}`,
    "production/rollouts/~new?flag=checkout.one-page",
    "production/audit?trail=_access",
    "production/flags?q=nothing-is-called-so",
    "production/audit?q=nobody-ever-said-this",
    "dev/flags",
    "dev/segments",
    "dev/rollouts",
    "dev/experiments",
    "dev/requests",
    "dev/hygiene",
    "production/flags/not-there",
    "production/segments/not-there",
    "production/rollouts/not-there",
    "production/requests/4711",
    "production/people/not-there",
    "production/keys/not-there",
    "production/no-such-page",
  ]) {
    await page.goto(`${url}/${address}`);
    await settled(page);
    await look(page, address);
  }
  await page.goto(`${url}/no-such-environment`);
  await expect(page.getByText("Nothing here")).toBeVisible();
  await look(page, "an environment that is not there");
});

test("what opens", async ({ page, seeded }) => {
  await logIn(page, seeded.world, people.ada);
  const dialog = page.getByRole("dialog");
  async function opens(at: string, address: string, open: () => Promise<void>) {
    await page.setViewportSize(wide);
    await page.goto(`${seeded.world.url}/production${address}`);
    await settled(page);
    await open();
    await expect(page.locator(".skeleton")).toHaveCount(0);
    await look(page, at);
    await page.setViewportSize(narrow);
    expect.soft(await beyond(page), `${at}: px too wide where it is narrow`).toBe(0);
    await page.setViewportSize(wide);
  }
  const button = (name: string | RegExp) => page.getByRole("button", { name });
  const opened = (name: string | RegExp) => async () => {
    await button(name).first().click();
    await expect(dialog).toBeVisible();
  };

  await opens("the menu of a narrow screen", "/flags", async () => {
    await page.setViewportSize(narrow);
    await button("Menu").click();
    await expect(page.getByRole("navigation", { name: "Pages" })).toBeVisible();
  });
  await opens("a rule", "/flags/checkout.one-page", () => button(/^staff/).click());
  await opens("who one is", "/flags", () => button(people.ada.name).click());
  await opens("to turn on", "/flags?q=loyalty-points", () =>
    page.getByRole("switch", { name: "loyalty-points is off" }).click(),
  );
  await opens("to propose", "/flags?q=loyalty-points", async () => {
    await page.getByRole("switch", { name: "loyalty-points is off" }).click();
    await button("Propose or schedule it…").click();
  });
  await opens("a kill switch, and what relays say", "/flags?q=old-banner", async () => {
    await page.getByRole("switch", { name: "old-banner is on" }).click();
    await look(page, "to turn off");
    await dialog.getByLabel("Why").fill("it is old");
    await dialog.getByRole("button", { name: "Turn off" }).click();
    await expect(page.getByText(/5 of 5 relays have it/)).toBeVisible();
  });
  await opens("what differs, before it is saved", "/flags/checkout.one-page?tab=settings", async () => {
    await page.getByLabel("Description").fill("edited");
    await expect(page.getByRole("region", { name: "Unsaved changes" })).toContainText("1 unsaved change.");
    await look(page, "unsaved changes");
    await page
      .getByRole("navigation", { name: "Pages" })
      .getByRole("link", { name: /^Rollouts/ })
      .click();
    await expect(dialog).toContainText("unsaved changes");
    await look(page, "to leave");
    await dialog.getByRole("button", { name: "Stay here" }).click();
    await button("Review and save").click();
    await expect(dialog.getByText("The server has checked it.")).toBeVisible();
  });
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await button("Discard").click();
  await opens("to go back to a version", "/flags/search.synonyms?tab=history", opened(/Restore revision/));
  await opens("to delete", "/flags/loyalty-points?tab=settings", opened(/Delete the flag/));
  await opens("to pause a rollout", `/rollouts/${keys.running}`, opened("Pause"));
  await opens("to abort a rollout", `/rollouts/${keys.running}`, opened("Abort"));
  await opens("to stop everything", "/flags", opened("Freeze everything…"));
  await opens("to approve", "/requests/1", opened("Approve…"));
  await opens("to promote", "/environments/compare", opened("Promote…"));
  await opens("two environments of a flag", "/environments/compare", opened("checkout.one-page"));
  await opens("a new environment", "/environments", opened("New environment"));
  await opens("to restore an environment", "/environments/settings", opened("Restore to a time…"));
  await opens("to add somebody", "/people", opened("Add somebody"));
  await opens("a secret", "/keys", async () => {
    await opened("New key")();
    await look(page, "a new key");
    await dialog.getByLabel("Name").fill("checkout service");
    await dialog.getByLabel("Why").fill("a test");
    await dialog.getByRole("button", { name: "Make it" }).click();
    await expect(page.getByRole("dialog", { name: "The secret of checkout service" })).toBeVisible();
  });
});
