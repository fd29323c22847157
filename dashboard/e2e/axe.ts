import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "@playwright/test";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

type Result = { violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] };

// What axe finds on a page that somebody could stumble over, in a theme.
export async function stumblingBlocks(page: Page, theme: "light" | "dark"): Promise<string[]> {
  await page.evaluate((t) => {
    localStorage.setItem("tidegate-theme", t);
    document.documentElement.dataset.theme = t;
  }, theme);
  await page.evaluate(source);
  const { violations } = await page.evaluate<Result>('window.axe.run({ resultTypes: ["violations"] })');
  return violations
    .filter((v) => v.impact === "serious" || v.impact === "critical")
    .flatMap((v) => v.nodes.map((n) => `${theme}: ${v.id}: ${n.html}: ${n.failureSummary}`));
}
