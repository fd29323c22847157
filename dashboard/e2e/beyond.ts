import type { Page } from "@playwright/test";

export const wide = { width: 1280, height: 900 };
export const narrow = { width: 390, height: 844 };

// How many px of the page, or of a dialog that is open, are out of sight at the side.
export async function beyond(page: Page): Promise<number> {
  return page.evaluate(() =>
    Math.max(
      ...[document.documentElement, ...document.querySelectorAll("dialog[open]")].map(
        (e) => e.scrollWidth - e.clientWidth,
      ),
    ),
  );
}
