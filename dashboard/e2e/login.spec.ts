import { ada, expect, logIn, test } from "./fixtures";

test("somebody logs in and out, and a wrong password is told", async ({ page, world }) => {
  await page.goto(world.url);
  await page.getByLabel("E-mail address").fill(ada.name);
  await page.getByLabel("Password").fill("not the password at all");
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("alert")).toBeVisible();
  await page.getByLabel("Password").fill(ada.password);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("heading", { name: "Flags", exact: true })).toBeVisible();
  await page.getByRole("button", { name: ada.name }).click();
  await page.getByRole("button", { name: "Log out" }).click();
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
  await page.goto(`${world.url}/production/flags`);
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
