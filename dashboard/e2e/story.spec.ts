import type { Page } from "@playwright/test";
import { ada, ben, expect, logIn, test } from "./fixtures";
import { FlagTraffic } from "./flag-traffic";
import type { World } from "./processes";
import { Clocks } from "./seen";

const staff = "Serves on to users whose email ends with @tidegate.io; everyone else gets off.";

async function open(page: Page, world: World, path: string) {
  await page.goto(`${world.url}/staging/${path}`);
  await expect(page.getByText(/^Live/)).toBeVisible();
}

// Says why, and does what a dialog is there for.
async function confirm(page: Page, button: string, reason: string) {
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Why").fill(reason);
  await dialog.getByRole("button", { name: button, exact: true }).click();
  await expect(dialog).toBeHidden();
}

test("a flag's life, with somebody else looking on", async ({ page, browser, world }, info) => {
  const other = await (await browser.newContext()).newPage();
  await logIn(page, world, ada);
  await logIn(other, world, ben);
  await open(other, world, "flags");
  const clocks = new Clocks(page, info);

  await open(page, world, "flags");
  await page.getByRole("link", { name: "New flag" }).click();
  await page.getByRole("radio", { name: /Release/ }).check();
  await page.getByLabel("Key").fill("one-page-checkout");
  await page.getByLabel("Owner").fill("shop");
  await page.getByRole("button", { name: "Create…" }).click();
  await clocks.seen("a flag is made", "/CreateFlag", other, ".flag .name", "one-page-checkout", () =>
    confirm(page, "Create", "the checkout on one page"),
  );
  await other.getByRole("link", { name: "one-page-checkout" }).click();
  await expect(other.getByRole("heading", { name: "one-page-checkout" })).toBeVisible();

  await page.getByRole("switch", { name: "one-page-checkout is off" }).click();
  await clocks.seen("it is turned on", "/SetEnabled", other, "strong.on", "On", () =>
    confirm(page, "Turn on", "it is deployed"),
  );

  await page.getByRole("button", { name: "Add a rule" }).click();
  await page.getByLabel("Id").fill("staff");
  await page.getByLabel("Attribute").fill("email");
  await page.getByLabel("Operator").selectOption({ label: "ends with" });
  await page.getByLabel("Values of condition 1").fill("@tidegate.io");
  await page.getByLabel("Values of condition 1").press("Enter");
  await page.getByLabel("Then serve").selectOption("on");
  await page.getByRole("button", { name: "Review and save" }).click();
  await expect(page.getByRole("dialog").getByText("The server has checked it.")).toBeVisible();
  await clocks.seen("staff are targeted", "/UpdateFlag", other, ".serves", staff, () =>
    confirm(page, "Save", "our own people first"),
  );

  // What grpcurl is answered by the relay.
  const answer = (email: string) =>
    world.evaluate("one-page-checkout", { targetingKey: email, attributes: { email } }, "staging");
  await expect.poll(async () => (await answer("ada@tidegate.io")).variant).toBe("on");
  expect((await answer("eve@example.com")).variant).toBe("off");

  const traffic = new FlagTraffic(world.relayURL, {
    environment: "staging",
    flagKey: "one-page-checkout",
    users: 20,
    happens: { errors: { on: 0.03, off: 0.03 } },
  });
  try {
    await page.getByRole("link", { name: "Start a rollout" }).click();
    await expect(page.getByLabel("Key", { exact: true })).toHaveValue("one-page-checkout-1");
    await page.getByLabel("Guardrail 1, as a line").fill("errors: rate < +60% relative");
    await page.getByRole("button", { name: "Change the stages" }).click();
    for (let i = 0; i < 3; i++) await page.getByRole("button", { name: "Remove stage 1", exact: true }).click();
    await page.getByLabel("Stage 1: share in per cent").fill("30");
    await page.getByLabel("Stage 1: time").fill("3s");
    await page.getByLabel("Stage 2: share in per cent").fill("60");
    await page.getByLabel("Stage 2: time").fill("10m");
    await expect(page.getByText(/At once, 30% of everyone whom no rule matches/)).toBeVisible();
    await page.getByRole("button", { name: "Start…" }).click();
    await clocks.seen("a rollout is started", "/StartRollout", other, ".rollout-strip", "one-page-checkout-1", () =>
      confirm(page, "Start", "a month of staff was enough"),
    );
    await other.getByRole("link", { name: /one-page-checkout-1 brings on to everyone whom no rule matches/ }).click();
    for (const p of [page, other]) {
      const share = p.getByRole("region", { name: "Share served now" });
      await expect(share.getByText("60%", { exact: true })).toBeVisible({ timeout: 60_000 });
    }

    const shut = "Shut: everyone whom no rule matched got “off” again";
    await clocks.both("the rollout is shut", other, "strong.ended", shut, () => traffic.set("errors", "on", 0.5));
    for (const p of [page, other])
      await expect(p.getByText(/errors.*evidence of harm .* of \d+/).first()).toBeVisible();
    await expect.poll(async () => (await answer("eve@example.com")).variant).toBe("off");
    expect((await answer("ada@tidegate.io")).variant).toBe("on"); // the rule is before it
  } finally {
    await traffic.stop();
  }

  for (const p of [page, other]) {
    await p.getByRole("main").getByRole("link", { name: "one-page-checkout", exact: true }).first().click();
    await expect(p.locator(".serves")).toContainText(staff);
  }
  await page.getByRole("link", { name: "History", exact: true }).click();
  const before = page.getByRole("listitem").filter({ hasText: "the checkout on one page" });
  await before.getByRole("button", { name: /Restore revision/ }).click();
  await expect(page.getByRole("dialog").locator(".diff")).toContainText("staff");
  await clocks.seen("it is restored", "/RestoreFlag", other, ".serves", "It is off: everyone gets off.", () =>
    confirm(page, "Restore", "not this quarter"),
  );
  await expect.poll(async () => (await answer("ada@tidegate.io")).variant).toBe("off");

  await other.getByRole("link", { name: "Audit trail" }).click();
  await expect(other.getByText("not this quarter")).toBeVisible();
  await page.getByRole("link", { name: "Audit trail" }).click();
  const entry = page
    .getByRole("region", { name: "Entries" })
    .getByRole("listitem")
    .filter({ hasText: "not this quarter" });
  await expect(entry).toContainText(/ada@example.com took one-page-checkout back to revision \d+/);
  await entry.locator("summary").click();
  await expect(entry.getByText("Request")).toBeVisible();
  await other.context().close();
});
