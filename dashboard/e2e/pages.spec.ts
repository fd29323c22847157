import { test as base, expect, type Page } from "@playwright/test";
import { everyPage, settled } from "./addresses";
import { logIn } from "./fixtures";
import { people, type Seeded, seed } from "./seed";

const test = base.extend<object, { seeded: Seeded }>({
  seeded: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads it
    async ({}, use) => {
      const s = await seed();
      await use(s);
      await s.traffic.stop();
      await s.world.stop();
    },
    { scope: "worker", timeout: 240_000 },
  ],
});

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

for (const width of [1280, 390])
  test(`no page jumps, overflows or complains, ${width} wide`, async ({ page, seeded }) => {
    test.setTimeout(600_000);
    await page.setViewportSize({ width, height: 860 });
    await logIn(page, seeded.world, people.ada, width < 860);
    await watchShifts(page);
    const wrong: string[] = [];
    page.on("pageerror", (e) => wrong.push(`${page.url()}: ${e}`));
    page.on("console", (m) => {
      if (m.type() === "error" || m.type() === "warning") wrong.push(`${page.url()}: ${m.text()}`);
    });
    for (const { name, address } of everyPage(seeded.ids)) {
      await page.goto(`${seeded.world.url}/production${address}`);
      await settled(page);
      const { shifts, over } = await page.evaluate(() => ({
        shifts: (window as unknown as { shifts: { by: number; what: string }[] }).shifts,
        over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      }));
      const moved = shifts.reduce((sum, s) => sum + s.by, 0);
      if (moved > mostShift)
        wrong.push(`${name} jumps by ${moved.toFixed(3)}: ${shifts.map((s) => s.what).join("; ")}`);
      if (over > 0) wrong.push(`${name} is ${over} px wider than the screen`);
    }
    expect(wrong).toEqual([]);
  });
