import { ada, ben, eve, expect, logIn, test } from "./fixtures";
import { make, manifest, open, save } from "./flag-editing";
import type { World } from "./processes";

test("a flag is made by a form, targets staff, and a relay answers so", async ({ page, world }) => {
  await logIn(page, world, ada);
  await open(page, world, "flags/~new");
  await page.getByRole("radio", { name: /Kill switch/ }).check();
  await page.getByLabel("Key").fill("-no");
  await expect(page.getByText(/Must be letters, digits/)).toBeVisible();
  await page.getByLabel("Key").fill("new-search");
  await page.getByLabel("Owner").fill("search");
  await page.getByRole("button", { name: "Create…" }).click();
  await page.getByRole("dialog").getByLabel("Why").fill("the new search");
  await page.getByRole("dialog").getByRole("button", { name: "Create", exact: true }).click();
  await expect(page.getByRole("heading", { name: "new-search" })).toBeVisible();

  await page.getByLabel("Serve").first().selectOption("off");
  await page.getByRole("button", { name: "Add a rule" }).click();
  await page.getByLabel("Id").fill("staff");
  await page.getByLabel("Attribute").fill("email");
  await page.getByLabel("Operator").selectOption({ label: "ends with" });
  await page.getByLabel("Values of condition 1").fill("@tidegate.io");
  await page.getByLabel("Values of condition 1").press("Enter");
  await page.getByLabel("Then serve").selectOption("on");
  await expect(page.locator(".serves")).toContainText(
    "Serves on to users whose email ends with @tidegate.io; everyone else gets off.",
  );
  await page.reload(); // nothing is lost
  await expect(page.getByRole("region", { name: "Unsaved changes" })).toBeVisible();
  await save(page, "staff first");

  const answer = (email: string) =>
    world.evaluate("new-search", { targetingKey: "u", attributes: { email } }, "staging");
  await expect.poll(async () => (await answer("ada@tidegate.io")).variant).toBe("on");
  expect(await answer("eve@example.com")).toMatchObject({ variant: "off", reason: "DEFAULT" });
  await page.getByRole("link", { name: "History" }).click();
  await expect(page.getByText("staff first")).toBeVisible();
});

// What the server has of a flag.
function stored(world: World, key: string): Promise<string> {
  return world.cli(["flag", "get", key, "-e", "staging", "-o", "yaml"]);
}

test("leaving asks, and keeps what was not saved", async ({ page, world }) => {
  await make(world, "leaving");
  await logIn(page, world, ada);
  await open(page, world, "flags/leaving?tab=settings");
  await page.getByLabel("Description").fill("half of a thought");
  await page.getByRole("link", { name: "Rollouts", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText("leaving has unsaved changes");
  await dialog.getByRole("button", { name: "Stay here" }).click();
  await expect(page.getByLabel("Description")).toHaveValue("half of a thought");
  await page.getByRole("link", { name: "Segments", exact: true }).click();
  await dialog.getByRole("button", { name: "Leave, and keep them" }).click();
  await expect(page.getByRole("heading", { name: "Segments", exact: true })).toBeVisible();
  await open(page, world, "flags/leaving?tab=settings");
  await expect(page.getByLabel("Description")).toHaveValue("half of a thought");
});

test("going back and forward ask as links do, and so does closing the tab", async ({ page, world }) => {
  await make(world, "going-back");
  await logIn(page, world, ada);
  await page.getByRole("link", { name: "Segments", exact: true }).click();
  await page.getByRole("link", { name: "Flags", exact: true }).click();
  await open(page, world, "flags"); // the entries before are of another document
  await page.getByRole("link", { name: "going-back", exact: true }).click();
  await page.getByRole("link", { name: "Settings", exact: true }).click();
  await page.getByLabel("Description").fill("half of a thought");
  const here = page.url();
  const dialog = page.getByRole("dialog");

  await page.goBack(); // to another part of the same flag: nothing to ask
  await expect(page.getByRole("button", { name: "Add a rule" })).toBeVisible();
  await expect(dialog).toBeHidden();
  await page.goForward();
  await expect(page.getByLabel("Description")).toHaveValue("half of a thought");
  await page.evaluate(() => history.go(-2));
  await expect(dialog).toContainText("going-back has unsaved changes");
  await expect(page).toHaveURL(here);
  await dialog.getByRole("button", { name: "Stay here" }).click();
  await expect(page.getByLabel("Description")).toHaveValue("half of a thought");
  await page.evaluate(() => {
    history.back();
    history.back();
  });
  await expect(dialog).toBeVisible();
  await expect(page).toHaveURL(here.replace("?tab=settings", "")); // the first one led to another part
  await dialog.getByRole("button", { name: "Leave, and keep them" }).click();
  await expect(page.getByRole("heading", { name: "Flags", exact: true })).toBeVisible();
  await expect(dialog).toBeHidden();
  await page.goForward();
  await page.goForward();
  await expect(page.getByLabel("Description")).toHaveValue("half of a thought");

  // The tab: the browser asks, and stays.
  await page.getByLabel("Description").press("End"); // it asks only where somebody did something
  const asked = page.waitForEvent("dialog");
  await page.close({ runBeforeUnload: true });
  const question = await asked;
  expect(question.type()).toBe("beforeunload");
  await question.dismiss();
  await page.getByRole("button", { name: "Discard" }).click();
  await page.goBack();
  await page.goBack();
  await expect(page.getByRole("heading", { name: "Flags", exact: true })).toBeVisible();
  await expect(dialog).toBeHidden();
});

test("what was entered of a new flag is asked about; a flag may be called new", async ({ page, world }) => {
  await make(world, "new");
  await logIn(page, world, ada);
  await open(page, world, "flags/new");
  await expect(page.getByRole("heading", { name: "new", exact: true })).toBeVisible();
  await expect(page.getByRole("switch", { name: "new is on" })).toBeVisible();
  for (const [list, link] of [
    ["flags", "New flag"],
    ["segments", "New segment"],
  ]) {
    await open(page, world, list ?? "");
    await page.getByRole("link", { name: link }).click();
    await page.getByLabel("Key", { exact: true }).fill("half-made");
    await page.goBack();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Stay here" }).click();
    await expect(page.getByLabel("Key", { exact: true })).toHaveValue("half-made");
    await page.getByRole("link", { name: "Cancel" }).click();
    await dialog.getByRole("button", { name: "Leave, and lose it" }).click();
    await expect(page.getByRole("link", { name: link })).toBeVisible();
  }
});

test("two people edit one flag, and nobody's work is lost", async ({ page, browser, world }) => {
  await make(world, "shared");
  const other = await (await browser.newContext()).newPage();
  await logIn(page, world, ada);
  await logIn(other, world, ben);
  await open(page, world, "flags/shared?tab=settings");
  await open(other, world, "flags/shared?tab=settings");

  // Other fields: both stay.
  await page.getByLabel("Owner").fill("payments");
  await other.getByLabel("Description").fill("told by ben");
  await save(other, "words");
  const conflict = page.getByRole("region", { name: "Somebody else changed this flag" });
  await expect(conflict).toContainText(`${ben.name} saved this flag while you were editing it`);
  await expect(conflict).toContainText("words");
  await expect(page.getByRole("button", { name: "Review and save" })).toBeDisabled();
  await conflict.getByRole("button", { name: "Compare" }).click();
  await expect(conflict.getByText("told by ben", { exact: true })).toBeVisible();
  await conflict.getByRole("button", { name: "Keep mine on top of theirs" }).click();
  await expect(page.getByLabel("Description")).toHaveValue("told by ben");
  await expect(page.getByLabel("Owner")).toHaveValue("payments");
  await save(page, "another owner");
  await expect(other.getByLabel("Owner")).toHaveValue("payments");
  expect(await stored(world, "shared")).toMatch(/description: told by ben[\s\S]*owner: payments/);

  // The same field: somebody has to choose.
  await page.getByLabel("Owner").fill("ada's");
  await other.getByLabel("Owner").fill("ben's");
  await save(other, "mine now");
  await expect(conflict).toContainText("You both changed 1 field");
  const join = conflict.getByRole("button", { name: "Join them so" });
  await expect(join).toBeDisabled();
  await expect(page.getByLabel("Owner")).toHaveValue("ada's");
  await conflict.getByRole("radio", { name: /Theirs: "ben's"/ }).check();
  await conflict.getByRole("radio", { name: /Mine: "ada's"/ }).check();
  await join.click();
  await save(page, "no, mine");
  await expect(other.getByLabel("Owner")).toHaveValue("ada's");
  expect(await stored(world, "shared")).toMatch(/description: told by ben[\s\S]*owner: "ada's"/);
  await other.context().close();
});

test("who saves second is told, and overwrites nothing", async ({ page, browser, world }) => {
  await make(world, "raced");
  const other = await (await browser.newContext()).newPage();
  await logIn(page, world, ada);
  await logIn(other, world, ben);
  await open(page, world, "flags/raced?tab=settings");
  await open(other, world, "flags/raced?tab=settings");
  const conflict = page.getByRole("region", { name: "Somebody else changed this flag" });

  await page.getByLabel("Owner").fill("ada again");
  await page.getByRole("button", { name: "Review and save" }).click();
  const saving = page.getByRole("dialog");
  await saving.getByLabel("Why").fill("almost");
  await other.getByLabel("Description").fill("told in time");
  await save(other, "in time");
  await expect(saving.getByText("Somebody else saved another version meanwhile.")).toBeVisible();
  await saving.getByRole("button", { name: "Save", exact: true }).click();
  await expect(saving.getByText("Somebody else changed this first")).toBeVisible();
  await expect(saving.getByText(`${ben.name}, `)).toContainText("in time");
  await expect(saving.getByLabel("Why")).toHaveValue("almost");
  expect(await stored(world, "raced")).toMatch(/description: told in time[\s\S]*owner: web/);
  await saving.getByRole("button", { name: "Cancel" }).click();
  await conflict.getByRole("button", { name: "Keep mine on top of theirs" }).click();
  await save(page, "now");
  expect(await stored(world, "raced")).toMatch(/description: told in time[\s\S]*owner: ada again/);

  // One who takes what the other has saved loses their own edits, and nothing else.
  await page.getByLabel("Owner").fill("not to be");
  await other.getByLabel("Description").fill("told last");
  await save(other, "the last word");
  await conflict.getByRole("button", { name: "Take theirs, discard mine" }).click();
  await expect(page.getByLabel("Description")).toHaveValue("told last");
  await expect(page.getByLabel("Owner")).toHaveValue("ada again");
  await expect(page.getByRole("region", { name: "Unsaved changes" })).toBeHidden();
  await other.context().close();
});

test("an earlier version is restored, with its diff first", async ({ page, world }) => {
  await make(world, "restored");
  await logIn(page, world, ada);
  await open(page, world, "flags/restored?tab=settings");
  await page.getByLabel("Owner").fill("somebody");
  await save(page, "a slip");
  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("button", { name: /Restore revision/ }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.locator(".diff")).toContainText('"web"');
  await dialog.getByLabel("Why").fill("it was a slip");
  await dialog.getByRole("button", { name: "Restore", exact: true }).click();
  await expect(page.getByText("it was a slip")).toBeVisible();
  await expect(page.getByText("Owner: web", { exact: true })).toBeVisible();
});

test("the raw text tells what is wrong at its line", async ({ page, world }) => {
  const complaints: string[] = [];
  page.on("console", (m) => {
    if (m.text().includes("Content Security Policy")) complaints.push(m.text());
  });
  await make(world, "raw-text");
  await logIn(page, world, ada);
  await open(page, world, "flags/raw-text?tab=raw");
  const editor = page.getByRole("textbox", { name: "raw-text as YAML" });
  const write = async (text: string) => {
    await editor.click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText(text);
  };
  const good = manifest("raw-text");
  const line = (text: string, part: string) => text.slice(0, text.indexOf(part)).split("\n").length;

  // What cannot be read.
  const unread = good.replace("when:", "whne:");
  await write(unread);
  await expect(page.locator(".raw-foot")).toContainText("Unknown field whne: did you mean when?");
  await expect(page.getByRole("button", { name: `Line ${line(unread, "whne")}`, exact: true })).toBeVisible();
  await expect(page.getByRole("button", { name: "Review and save" })).toBeDisabled();
  // What can be read, and the server refuses.
  const refused = good.replace('{variant: "on", weight: 50}', "{variant: nowhere, weight: 50}");
  await write(refused);
  await expect(page.locator(".raw-foot")).toContainText("nowhere");
  await page.getByRole("button", { name: `Line ${line(refused, "nowhere")}`, exact: true }).click();
  // What is right. Comments are not kept, and that is said first.
  await write(good.replace("owner: web", "owner: writers # of texts"));
  await expect(page.locator(".raw-foot")).toContainText("Its comments are not kept when it is saved.");
  await page.getByRole("button", { name: "Review and save" }).click();
  await expect(page.getByRole("dialog")).toContainText("The comments in the raw text are not kept.");
  await page.keyboard.press("Escape");
  await save(page, "written by hand");
  await expect(editor).not.toContainText("# of texts");
  expect(complaints).toEqual([]);
  await expect(page.getByText("Owner: writers", { exact: true })).toBeVisible();
});

test("an evaluation is tried, and each step is told, of what is saved and of what is edited", async ({
  page,
  world,
}) => {
  await make(world, "tried");
  await logIn(page, world, ada);
  await open(page, world, "flags/tried?tab=try");
  await page.getByLabel("Targeting key").fill("user-1");
  await page.getByLabel("Name of attribute 1").fill("country");
  await page.getByLabel("Value of attribute 1").fill("FR");
  const steps = page.locator(".steps");
  await expect(steps).toContainText("The rule canada does not match.");
  await expect(steps).toContainText('it is "FR"');
  await expect(steps).toContainText("No rule matched: everyone else gets off.");
  await page.getByLabel("Value of attribute 1").fill("CA");
  await expect(steps).toContainText("The rule canada matches.");
  await expect(steps).toContainText(/and user-1 hash to \d+ of 100/);
  await page.getByLabel("Name of the example").fill("a canadian");
  await page.getByRole("button", { name: "Remember" }).click();

  await page.getByRole("link", { name: "Targeting" }).click();
  await page.getByRole("button", { name: /^canada/ }).click();
  await page.getByLabel("Then serve").selectOption("on");
  await page.getByRole("link", { name: "Try it" }).click();
  await expect(page.getByRole("button", { name: "a canadian", exact: true })).toBeVisible();
  await expect(page.getByRole("heading", { name: "As you edit it" })).toBeVisible();
  await expect(page.locator(".answer").nth(1)).toContainText("a rule matched");
  await expect(page.locator(".answer").first()).toContainText("a split chose it");
});

test("a segment is made of pasted keys, and a flag serves them", async ({ page, context, world }) => {
  await make(world, "for-testers");
  await logIn(page, world, ada);
  await open(page, world, "segments/~new");
  await page.getByLabel("Key", { exact: true }).fill("testers");
  const keys = Array.from({ length: 3000 }, (_, i) => `user-${i}`);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.evaluate((text) => navigator.clipboard.writeText(text), keys.join("\n"));
  await page.getByLabel("Keys that belong").click();
  await page.keyboard.press("Control+v");
  await expect(page.getByText("3,000 keys.")).toBeVisible();
  await page.getByRole("button", { name: "Create…" }).click();
  await page.getByRole("dialog").getByLabel("Why").fill("testers");
  await page.getByRole("dialog").getByRole("button", { name: "Create", exact: true }).click();
  await expect(page.getByRole("heading", { name: "testers" })).toBeVisible();
  await page.getByLabel("Search in Belong").fill("user-2999");
  await expect(page.getByRole("list", { name: "Belong" }).getByRole("listitem")).toHaveCount(1);

  await open(page, world, "flags/for-testers");
  await page.getByRole("button", { name: "Add a rule" }).click();
  await page.getByLabel("Operator").selectOption({ label: "is in the segment" });
  await page.getByLabel("Values of condition 1").fill("testers");
  await page.getByLabel("Values of condition 1").press("Enter");
  await save(page, "testers get it");
  await expect
    .poll(async () => (await world.evaluate("for-testers", { targetingKey: "user-2999" }, "staging")).variant)
    .toBe("on");
  await open(page, world, "segments/testers");
  await expect(page.getByRole("complementary").getByRole("link", { name: "for-testers" })).toBeVisible();
});

test("prerequisites: a circle is told at its field, and what others need is not deleted", async ({ page, world }) => {
  await make(world, "first");
  await make(world, "second");
  await logIn(page, world, ada);
  await open(page, world, "flags/second");
  await page.getByLabel(/Add a prerequisite/).fill("nowhere");
  await page.getByLabel(/Add a prerequisite/).press("Enter");
  await expect(page.getByText("There is no flag nowhere in staging.")).toBeVisible();
  await page.getByLabel(/Add a prerequisite/).fill("first");
  await page.getByLabel(/Add a prerequisite/).press("Enter");
  await save(page, "first comes first");
  await open(page, world, "flags/first");
  await page.getByLabel(/Add a prerequisite/).fill("second");
  await page.getByLabel(/Add a prerequisite/).press("Enter");
  await expect(page.locator(".prerequisite .problem")).toContainText("cycle: first -> second -> first");
  await page.getByRole("button", { name: "Discard" }).click();
  await page.getByRole("link", { name: "Settings", exact: true }).click();
  await expect(page.getByText("These flags need it.")).toBeVisible();
  await expect(page.getByRole("button", { name: /Delete the flag/ })).toBeDisabled();
  await open(page, world, "flags/second?tab=settings");
  await page.getByRole("button", { name: /Delete the flag/ }).click();
  await page.getByRole("dialog").getByLabel("Why").fill("it was for a test");
  await page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
  await expect(page.getByRole("heading", { name: "Flags", exact: true })).toBeVisible();
  await open(page, world, "flags/second");
  await expect(page.getByText("second was deleted")).toBeVisible();
  await page
    .getByRole("button", { name: /Restore revision/ })
    .first()
    .click();
  await page.getByRole("dialog").getByLabel("Why").fill("it is needed after all");
  await page.getByRole("dialog").getByRole("button", { name: "Restore", exact: true }).click();
  await expect(page.getByRole("link", { name: "Targeting" })).toBeVisible();
});

test("who may only look is offered nothing to change, and may try it", async ({ page, world }) => {
  await make(world, "looked-at");
  await logIn(page, world, eve);
  await open(page, world, "flags/looked-at");
  await expect(page.getByRole("switch", { name: "looked-at is on" })).toBeDisabled();
  await expect(page.getByRole("button", { name: "Add a rule" })).toHaveCount(0);
  await page.getByRole("button", { name: /^canada/ }).click();
  await expect(page.getByLabel("Attribute", { exact: true })).toBeDisabled();
  await page.getByRole("link", { name: "Settings" }).click();
  await expect(page.getByLabel("Owner")).toBeDisabled();
  await expect(page.getByRole("button", { name: /Delete/ })).toHaveCount(0);
  await page.getByRole("link", { name: "Try it" }).click();
  await expect(page.locator(".steps")).toContainText("The rule canada does not match.");
});
