import { ada, ben, expect, logIn, test } from "./fixtures";

const manifest = `apiVersion: tidegate/v1
flags:
  drafted:
    owner: web
    type: boolean
    enabled: true
    variants: {"on": true, "off": false}
    offVariant: "off"
    default: "on"
`;

test("somebody logs in and out, and a wrong password is told", async ({ page, world }) => {
  await page.goto(world.url);
  await page.getByLabel("E-mail address").fill(ada.name);
  await page.getByLabel("Password").fill("not the password at all");
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("alert")).toHaveText("The name or the password is wrong.");
  await expect(page.getByLabel("Password")).toBeFocused();
  await page.getByLabel("Password").fill(ada.password);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("heading", { name: "Flags", exact: true })).toBeVisible();
  await page.getByRole("button", { name: ada.name }).click();
  await page.getByRole("button", { name: "Log out" }).click();
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
  await expect(page.getByText("You are not logged in any more")).toHaveCount(0);
  await page.goto(`${world.url}/production/flags`);
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
});

test("who is logged out from elsewhere is told so, and finds what was not saved", async ({ page, context, world }) => {
  await world.cli(["apply", "-f", "-", "-e", "staging", "--reason", "for a test"], manifest.replace("drafted", "kept"));
  await logIn(page, world, ada);
  await page.goto(`${world.url}/staging/flags/kept?tab=settings`);
  await page.getByLabel("Description").fill("a thought of hers");
  await expect(page.getByRole("region", { name: "Unsaved changes" })).toBeVisible();
  await context.clearCookies();
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await expect(page.getByText("You are not logged in any more")).toBeVisible();
  await page.getByLabel("E-mail address").fill(ada.name);
  await page.getByLabel("Password").fill(ada.password);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByLabel("Description")).toHaveValue("a thought of hers");
});

test("a tab shows who acts, whoever logs in in another one, and nothing of who was there before", async ({
  page,
  context,
  world,
}) => {
  await world.cli(["apply", "-f", "-", "-e", "staging", "--reason", "for a test"], manifest);
  await logIn(page, world, ada);
  await page.goto(`${world.url}/staging/flags/drafted?tab=settings`);
  await page.getByLabel("Description").fill("a thought of hers");
  await expect(page.getByRole("region", { name: "Unsaved changes" })).toBeVisible();
  const other = await context.newPage();
  await other.goto(`${world.url}/staging/flags`);

  // The server cannot end the session: she stays.
  await other.route("**/auth/logout", (route) => route.fulfill({ status: 503 }));
  await other.getByRole("button", { name: ada.name }).click();
  await other.getByRole("button", { name: "Log out" }).click();
  await expect(other.getByText("You are still logged in", { exact: false })).toBeVisible();
  await expect(other.getByRole("button", { name: ada.name })).toBeVisible();
  await other.unroute("**/auth/logout");

  await other.getByRole("button", { name: ada.name }).click();
  await other.getByRole("button", { name: "Log out" }).click();
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
  await logIn(other, world, ben);
  await expect(page.getByRole("button", { name: ben.name })).toBeVisible();
  await expect(page.getByLabel("Description")).toHaveValue("");
  await expect(page.getByRole("region", { name: "Unsaved changes" })).toHaveCount(0);

  // As when nobody told this tab: it asks when it is looked at again.
  await context.clearCookies();
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
});

test("no secret is in the page, and its policy lets nothing else in", async ({ page, world }) => {
  const violations: string[] = [];
  page.on("console", (m) => {
    if (/Content Security Policy|Refused to/.test(m.text())) violations.push(m.text());
  });
  await logIn(page, world, ada);
  await expect(page.getByText("Live")).toBeVisible();
  const content = await page.content();
  expect(content).not.toMatch(/tg[ks]_/);
  expect(
    await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })),
  ).not.toMatch(/tg[ks]_/);
  expect(violations).toEqual([]);
});

test("a page whose code does not come says so, and the others go on", async ({ page, world }) => {
  await logIn(page, world, ada);
  // As after an upgrade of the server, which has files of other names.
  await page.route(/\/assets\/fleet-.*\.js$/, (route) => route.fulfill({ status: 404 }));
  await page.getByRole("link", { name: "Fleet" }).click();
  await expect(page.getByText("This page cannot be shown")).toBeVisible();
  await page.getByRole("link", { name: "Learn" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  await page.unroute(/\/assets\/fleet-.*\.js$/);
  await page.getByRole("link", { name: "Fleet" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Fleet" })).toBeVisible();
});
