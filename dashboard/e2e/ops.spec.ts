import { ada, eve, expect, logIn, test } from "./fixtures";
import type { World } from "./processes";

const flag = (key: string, more = "") => `apiVersion: tidegate/v1
flags:
  ${key}:
    description: For a test
    owner: payments
    kind: release
    type: boolean
    enabled: true
    variants: {on: true, off: false}
    offVariant: off
    default: off
    ${more}
`;

const apply = (world: World, text: string) =>
  world.cli(["apply", "-f", "-", "-e", "production", "--reason", "for a test"], text);
const disable = (world: World, key: string, reason: string) =>
  world.cli(["flag", "disable", key, "-e", "production", "--reason", reason]);

test("fleet shows relays, and how a change comes to them", async ({ page, world }) => {
  await apply(world, flag("travels"));
  await logIn(page, world, ada);
  await page.goto(`${world.url}/production/fleet`);
  await expect(page.getByRole("row", { name: /relay-eu-west-1/ })).toContainText("up to date");
  await expect(page.getByText("1 of 1 relay has it")).toBeVisible();
  await expect(page.getByText("make another one to see it travel")).toBeVisible();
  await disable(world, "travels", "INC-7");
  await expect(page.getByText("turned off travels")).toBeVisible();
  await expect(page.getByText("1 of 1 relay has it")).toBeVisible();
  // Its time was measured.
  await expect(page.getByText(/It was applied [\d.]+ m?s after the commit/)).toBeVisible();
  await expect(page.getByRole("img", { name: /relay-eu-west-1 \d/ })).toBeVisible();
});

test("a relay that is gone is shown as such, also after a kill switch, and is forgotten by who may", async ({
  page,
  world,
}) => {
  await apply(world, flag("misses"));
  await world.addRelay("us-east", "relay");
  await logIn(page, world, ada);
  await page.goto(`${world.url}/production/fleet`);
  const row = page.getByRole("row", { name: /relay-us-east-2/ });
  await expect(row).toContainText("relay-eu-west-1"); // what it follows
  await expect(row.getByRole("button", { name: "Forget relay-us-east-2" })).toHaveCount(0);
  await world.stopLastRelay("SIGKILL");
  await expect(row).toContainText("not connected");

  await page.goto(`${world.url}/production/flags?q=misses`);
  await page.getByRole("switch", { name: "misses is on" }).click();
  await page.getByRole("dialog").getByLabel("Why").fill("INC-9");
  await page.getByRole("dialog").getByRole("button", { name: "Turn off" }).click();
  const receipt = page.locator(".toast");
  await expect(receipt).toContainText("1 of 2 relays have it. 1 does not:");
  await expect(receipt).toContainText(/relay-us-east-2 \(us-east\): not connected, last seen/);
  await expect(receipt).toContainText("If it still runs, it serves what it had until it comes back.");
  await expect(receipt).toHaveClass(/warn/);

  await page.getByRole("link", { name: /^Fleet/ }).click();
  await expect(page.getByText("1 relay had this change before that. 1 relay does not have it yet.")).toBeVisible();
  await receipt.getByRole("button", { name: "Close" }).click();
  await row.getByRole("button", { name: "Forget relay-us-east-2" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Forget it" }).click();
  await expect(row).toHaveCount(0);
});

test("audit shows an entry within a second, and its filters are in the address", async ({ page, world }) => {
  await apply(world, flag("audited"));
  await logIn(page, world, ada);
  await page.goto(`${world.url}/production/audit`);
  const entries = page.getByRole("region", { name: "Entries" });
  await expect(entries.getByText("made the flag audited")).toBeVisible();
  await disable(world, "audited", "Payments time out, INC-8");
  await expect(entries.getByText("turned off audited")).toBeVisible({ timeout: 1000 });

  await page.getByLabel("In the reason").fill("inc-8");
  await expect(entries.getByRole("listitem")).toHaveCount(1);
  await expect(page).toHaveURL(/q=inc-8/);
  await page.getByLabel("How").selectOption("turned off");
  await expect(page).toHaveURL(/action=disabled/);
  await page.reload();
  await expect(page.getByLabel("In the reason")).toHaveValue("inc-8");
  await expect(entries.getByRole("listitem")).toHaveCount(1);
  await entries.getByText("Turned off", { exact: true }).click();
  await expect(entries.getByText("Request")).toBeVisible();
  await page.getByLabel("In the reason").fill("nobody ever said this");
  await expect(page.getByRole("heading", { name: "No entry is like that" })).toBeVisible();
  await page.getByRole("button", { name: "Show all entries" }).click();
  await expect(entries.getByText("made the flag audited")).toBeVisible();
});

test("the trail of people is for those who may read it", async ({ page, world }) => {
  await logIn(page, world, ada);
  await page.goto(`${world.url}/production/audit?trail=_access`);
  await expect(page.getByText("let eve@example.com in")).toBeVisible();
  await page.context().clearCookies();
  await logIn(page, world, eve);
  await page.goto(`${world.url}/production/audit?trail=_access`);
  await expect(page.getByRole("alert")).toBeVisible();
  await expect(page.getByText("let eve@example.com in")).toHaveCount(0);
});

test("hygiene shows a stale flag, and it is kept if somebody says so", async ({ page, world }) => {
  await apply(world, flag("outlived", "expectedLifetime: 1s"));
  await world.cli(
    ["apply", "-f", "-", "-e", "production", "--reason", "nobody looks after it"],
    flag("orphan").replace("    owner: payments\n", ""),
  );
  await logIn(page, world, ada);
  await page.goto(`${world.url}/production/hygiene?problem=owner`);
  await expect(page.getByRole("link", { name: "orphan", exact: true })).toBeVisible();
  await page.goto(`${world.url}/production/hygiene`);
  const found = page.getByRole("listitem").filter({ has: page.getByRole("link", { name: "outlived", exact: true }) });
  // A second after it was made.
  await expect(async () => {
    await page.reload();
    await expect(found).toContainText("Past its lifetime", { timeout: 5000 });
  }).toPass();
  await found.getByRole("button", { name: "It stays: outlived" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Why").fill("it gives the partners their access");
  await dialog
    .getByLabel("What it is for")
    .selectOption({ label: "Permission: gives something to those who may have it" });
  await dialog.getByRole("button", { name: "Keep it" }).click();
  await expect(found).toHaveCount(0);
  expect(await world.cli(["flag", "get", "outlived", "-e", "production", "-o", "yaml"])).toContain("permission");
});

test("learn has its sections, and its commands work as they are", async ({ page, world }) => {
  await logIn(page, world, ada);
  await page.goto(`${world.url}/staging/learn`);
  for (const name of [
    "What a flag is",
    "Deployment and release",
    "Forty-five minutes in 2012",
    "A first rollout in five steps",
    "How the decider decides",
    "When something is down",
    "The words",
  ])
    await expect(page.getByRole("heading", { name, exact: true })).toBeVisible();
  const commands = await page.locator("#first pre").allTextContents();
  expect(commands).toHaveLength(7);
  const [settings, make, ask, tell, start, watch, stop] = commands;
  expect(settings).toContain("127.0.0.1:7013");
  expect(watch).toBe("tidegate rollout watch my-first-flag-1");
  // All but the one that does not end, with the ports of this world.
  const script = [settings, `cd ${world.file("").replace(/\/$/, "")}`, make, ask, tell, start, stop]
    .join("\n")
    .replaceAll("127.0.0.1:7013", world.addresses.server)
    .replaceAll("127.0.0.1:8013", world.addresses.relay);
  const said = await world.shell(script);
  expect(said).toContain("my-first-flag-1 is running");
  expect(said).toContain("my-first-flag disabled in staging");
});

test("who and what is not there is told in a sentence, with a way back", async ({ page, world }) => {
  await logIn(page, world, ada);
  for (const [path, said, back] of [
    ["people/nobody@example.com", "Nobody is called nobody@example.com here", "To all people"],
    ["keys/4711", "There is no such key", "To all keys"],
    [`keys/${"a".repeat(20)}`, "There is no such key", "To all keys"],
  ] as const) {
    await page.goto(`${world.url}/production/${path}`);
    await expect(page.getByRole("heading", { name: said })).toBeVisible();
    await expect(page.getByText(/tidegate (identity|key)|key_id/)).toHaveCount(0);
    await page.getByRole("link", { name: back }).click();
    await expect(page).not.toHaveURL(new RegExp(path));
  }
});
