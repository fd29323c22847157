import { ada, expect, logIn, test } from "./fixtures";
import { make, open } from "./flag-editing";

test("rules are moved by their buttons and dragged, and shares that do not add up are kept as typed", async ({
  page,
  world,
}) => {
  await make(world, "moved");
  await logIn(page, world, ada);
  await open(page, world, "flags/moved");
  await page.getByRole("button", { name: "Add a rule" }).click();
  await page.getByLabel("Id").fill("second");
  const names = page.locator(".rule-open strong");
  await page.getByRole("button", { name: "Move second up" }).click();
  await expect(names).toHaveText(["second", "canada"]);
  await page.getByRole("button", { name: /^second/ }).click(); // closed, it is no higher than the others
  await page.locator(".grip").first().dragTo(page.locator(".rule").nth(1));
  await expect(names).toHaveText(["canada", "second"]);
  await page.getByRole("button", { name: "Discard" }).click();

  await page.getByRole("button", { name: /^canada/ }).click();
  await page.getByLabel("Share of on in per cent").fill("12.5");
  await expect(page.getByLabel("Share of off in per cent")).toHaveValue("87.5");
  await page.getByLabel("Share of off in per cent").fill("many");
  await expect(page.getByText("Each share must be a number from 0 to 100.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Review and save" })).toBeDisabled();
  await page.reload();
  await page.getByRole("button", { name: /^canada/ }).click();
  await expect(page.getByLabel("Share of off in per cent")).toHaveValue("many");
});

test("a rule is moved by keyboard: the focus and its form go along", async ({ page, world }) => {
  await make(world, "walked");
  await logIn(page, world, ada);
  await open(page, world, "flags/walked");
  for (const id of ["second", "third"]) {
    await page.getByRole("button", { name: "Add a rule" }).click();
    await page.getByLabel("Id").fill(id);
  }
  const names = page.locator(".rule-open strong");
  const down = page.getByRole("button", { name: "Move canada down" });
  await down.focus();
  await down.press("Enter");
  await expect(names).toHaveText(["second", "canada", "third"]);
  await expect(down).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(names).toHaveText(["second", "third", "canada"]);
  await expect(page.getByRole("button", { name: "Move canada up" })).toBeFocused(); // it can go no further down
  await expect(page.getByLabel("Id")).toHaveValue("third");
  await page.keyboard.press("Enter");
  await expect(names).toHaveText(["second", "canada", "third"]);
  await expect(page.getByLabel("Id")).toHaveValue("third");
  await page.getByRole("button", { name: "Discard" }).click();
  await expect(names).toHaveText(["canada"]);
});

test("after a dialog the focus is where it was, or at the page's content", async ({ page, world }) => {
  await make(world, "focused");
  await logIn(page, world, ada);
  await open(page, world, "flags/focused?tab=settings");
  const dialog = page.getByRole("dialog");
  const main = page.getByRole("main");

  // Cancelled, by its buttons and by Escape.
  const kill = page.getByRole("switch", { name: "focused is on" });
  for (const leave of ["Cancel", "Close", "Escape"]) {
    await kill.press("Enter");
    await expect(dialog.getByLabel("Why")).toBeFocused();
    if (leave === "Escape") await page.keyboard.press("Escape");
    else await dialog.getByRole("button", { name: leave }).press("Enter");
    await expect(dialog).toBeHidden();
    await expect(kill).toBeFocused();
  }
  // Done: what opened it is there still.
  await kill.press("Enter");
  await dialog.getByLabel("Why").fill("a drill");
  await dialog.getByRole("button", { name: "Turn off" }).press("Enter");
  await expect(dialog).toBeHidden();
  await expect(page.getByRole("switch", { name: "focused is off" })).toBeFocused();
  // Asked before leaving: at the link.
  await page.getByLabel("Owner").fill("somebody");
  const link = page.getByRole("link", { name: "Segments", exact: true });
  await link.press("Enter");
  await dialog.getByRole("button", { name: "Stay here" }).press("Enter");
  await expect(link).toBeFocused();
  // Saved: what opened it is gone.
  await page.getByRole("button", { name: "Review and save" }).press("Enter");
  await dialog.getByLabel("Why").fill("another owner");
  await dialog.getByLabel("Why").press("Control+Enter");
  await expect(page.getByRole("region", { name: "Unsaved changes" })).toBeHidden();
  await expect(main).toBeFocused();
  // Deleted: so is the page.
  await page.getByRole("button", { name: /Delete the flag/ }).press("Enter");
  await dialog.getByLabel("Why").fill("a test");
  await dialog.getByRole("button", { name: "Delete", exact: true }).press("Enter");
  await expect(page.getByRole("heading", { name: "Flags", exact: true })).toBeVisible();
  await expect(main).toBeFocused();
});
