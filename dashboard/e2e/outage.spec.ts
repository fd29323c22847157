import type { Page } from "@playwright/test";
import { ada, expect, logIn, test } from "./fixtures";
import type { World } from "./processes";

// For how many seconds the server stays away, once everything was looked at.
const away = Number(process.env.SERVER_AWAY ?? 0);

const manifest = (owner: string) => `apiVersion: tidegate/v1
flags:
  edited:
    owner: ${owner}
    type: boolean
    enabled: true
    variants: {"on": true, "off": false}
    offVariant: "off"
    default: "on"
  switched:
    owner: web
    type: boolean
    enabled: true
    variants: {"on": true, "off": false}
    offVariant: "off"
    default: "on"
`;

const apply = (world: World, owner: string) =>
  world.cli(["apply", "-f", "-", "-e", "staging", "--reason", "a new team"], manifest(owner));

async function open(page: Page, world: World, path: string) {
  await page.goto(`${world.url}/staging/${path}`);
  await expect(page.getByText(/^Live/)).toBeVisible();
}

test("the server is killed and comes back: what is shown stays, what is entered too, what changed is shown", async ({
  page,
  context,
  world,
}) => {
  await apply(world, "web");
  await logIn(page, world, ada);
  const [list, people] = [await context.newPage(), await context.newPage()];
  await open(page, world, "flags/edited?tab=settings");
  await open(list, world, "flags");
  await open(people, world, "people");
  await expect(people.getByRole("link", { name: ada.name })).toBeVisible();
  await page.getByLabel("Description").fill("half of a thought");
  await expect(page.getByRole("region", { name: "Unsaved changes" })).toContainText("1 unsaved change.");

  await world.stopServer("SIGKILL");
  for (const p of [page, list, people]) {
    const alert = p.getByRole("alert").filter({ hasText: "The server cannot be reached since" });
    await expect(alert).toContainText(/What you see is from then: \d+ s ago/);
    await expect(alert).toContainText("relays go on serving");
    await expect(p.getByText("Not connected")).toBeVisible();
  }
  await expect(list.getByRole("link", { name: "switched" })).toBeVisible();
  await expect(people.getByRole("link", { name: ada.name })).toBeVisible();
  expect((await world.evaluate("switched", { targetingKey: "u" }, "staging")).variant).toBe("on");

  // A change is tried, and nothing of it is lost.
  await page.getByLabel("Description").fill("a whole thought");
  await expect(page.getByRole("region", { name: "Unsaved changes" })).toContainText(
    "The server cannot be reached. What you changed is kept.",
  );
  await page.getByRole("button", { name: "Review and save" }).click();
  const saving = page.getByRole("dialog");
  await saving.getByLabel("Why").fill("it is whole");
  await saving.getByRole("button", { name: "Save", exact: true }).click();
  await expect(saving.getByRole("alert").last()).toContainText("Nothing that you entered is lost.");
  await expect(saving.getByLabel("Why")).toHaveValue("it is whole");
  await saving.getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByLabel("Description")).toHaveValue("a whole thought");

  await list.getByRole("switch", { name: "switched is on" }).click();
  const switching = list.getByRole("dialog");
  await switching.getByLabel("Why").fill("it is bad");
  await switching.getByRole("button", { name: "Turn off", exact: true }).click();
  await expect(switching.getByRole("alert")).toContainText("The server cannot be reached.");
  await switching.getByRole("button", { name: "Cancel" }).click();
  await expect(list.getByRole("switch", { name: "switched is on" })).toBeVisible();

  if (away > 0) await new Promise((r) => setTimeout(r, away * 1000));

  // It is back, and somebody is faster than these pages.
  await context.setOffline(true);
  await world.startServer();
  await apply(world, "payments");
  await world.cli(["flag", "disable", "switched", "-e", "staging", "--reason", "INC-9"]);
  await world.cli(["identity", "create", "dora@example.com", "--role", "viewer", "--reason", "she joined"]);
  await context.setOffline(false);

  await expect(list.getByRole("switch", { name: "switched is off" })).toBeVisible();
  await expect(people.getByRole("link", { name: "dora@example.com" })).toBeVisible();
  for (const p of [page, list, people]) {
    await expect(p.getByText(/^Live/)).toBeVisible();
    await expect(p.getByText("The server cannot be reached", { exact: false })).toHaveCount(0);
  }
  const conflict = page.getByRole("region", { name: "Somebody else changed this flag" });
  await expect(conflict).toContainText("a new team");
  await conflict.getByRole("button", { name: "Keep mine on top of theirs" }).click();
  await page.getByRole("button", { name: "Review and save" }).click();
  await expect(saving.getByText("The server has checked it.")).toBeVisible();
  await saving.getByLabel("Why").fill("it is whole");
  await saving.getByRole("button", { name: "Save", exact: true }).click();
  await expect(saving).toBeHidden();
  const saved = await world.cli(["flag", "get", "edited", "-e", "staging", "-o", "yaml"]);
  expect(saved).toContain("a whole thought");
  expect(saved).toContain("payments");
});

test("a write that fails after its dialog was closed is told", async ({ page, world }) => {
  await world.cli(["apply", "-f", "-", "-e", "staging", "--enable", "--reason", "for a test"], manifest("web"));
  await logIn(page, world, ada);
  await open(page, world, "flags");
  let fail = () => {};
  const closed = new Promise<void>((then) => {
    fail = then;
  });
  await page.route("**/SetEnabled", (route) => closed.then(() => route.abort()));
  await page.getByRole("switch", { name: "switched is on" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Why").fill("it is bad");
  await dialog.getByRole("button", { name: "Turn off", exact: true }).click();
  await expect(dialog.getByRole("button", { name: "Writing…" })).toBeVisible();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await expect(dialog).toHaveCount(0);
  fail();
  const told = page.getByRole("status").filter({ hasText: "The server did not confirm it" });
  await expect(told).toContainText("switched");
  await expect(page.getByRole("switch", { name: "switched is on" })).toBeVisible();
});

test("a page that is opened while the server is away is there when it is", async ({ page, world }) => {
  await logIn(page, world, ada);
  await open(page, world, "segments");
  // The page itself is at hand; what it asks for fails.
  await page.route(/tidegate\.control|\/auth\//, (route) => route.abort());
  await page.reload();
  await expect(page.getByText("The server cannot be reached")).toBeVisible();
  await page.unroute(/tidegate\.control|\/auth\//);
  await expect(page.getByRole("heading", { name: "Segments", exact: true })).toBeVisible();
});
