import { stumblingBlocks } from "./axe";
import { ada, eve, expect, logIn, test } from "./fixtures";
import { FlagTraffic } from "./flag-traffic";
import type { World } from "./processes";

async function make(world: World, ...keys: string[]) {
  const flags = keys.map(
    (key) => `  ${key}:
    owner: shop
    type: boolean
    enabled: true
    variants: {"on": true, "off": false}
    offVariant: "off"
    default: "off"
`,
  );
  const manifest = `apiVersion: tidegate/v1\nflags:\n${flags.join("")}`;
  await world.cli(["apply", "-f", "-", "-e", "staging", "--reason", "a test"], manifest);
}

test("a rollout is started from the page, widens, and is shut with its reason on the screen", async ({
  page,
  world,
  browser,
}) => {
  await make(world, "new-cart");
  const traffic = new FlagTraffic(world.relayURL, {
    environment: "staging",
    flagKey: "new-cart",
    users: 20,
    happens: { errors: { on: 0.03, off: 0.03 } },
  });
  try {
    await logIn(page, world, ada);
    await page.goto(`${world.url}/staging/rollouts/~new?flag=new-cart`);
    await expect(page.getByLabel("Key", { exact: true })).toHaveValue("new-cart-1");
    await expect(page.getByText(/At once, 1% of everyone/)).toBeVisible();

    // A guardrail is a line, and fields that write it.
    const line = page.getByLabel("Guardrail 1, as a line");
    await line.fill("errors: rate < +50%");
    await expect(page.getByText(/could be two things/)).toBeVisible();
    await line.fill("errors: rate < +50% relative");
    await page.getByLabel("Guardrail 1: margin", { exact: true }).fill("60");
    await expect(line).toHaveValue("errors: rate < +60% relative");

    // Two stages in a hurry.
    await page.getByRole("button", { name: "Change the stages" }).click();
    for (let i = 0; i < 3; i++) await page.getByRole("button", { name: "Remove stage 1", exact: true }).click();
    await page.getByLabel("Stage 1: share in per cent").fill("30");
    await page.getByLabel("Stage 1: time").fill("soon");
    await expect(page.getByText("“soon” is not a time")).toBeVisible();
    await page.getByLabel("Stage 1: time").fill("3s");
    await page.getByLabel("Stage 2: share in per cent").fill("60");
    await page.getByLabel("Stage 2: time").fill("10m");
    await expect(page.getByText(/At once, 30% of everyone/)).toBeVisible();

    // What has defaults can be said as well, and what is not started yet is not lost by leaving.
    await page.getByText(/^Advanced/).click();
    await page.getByLabel("Error budget, in per cent").fill("50");
    await expect(page.getByText(/^must be above 0 and at most 0.2/)).toBeVisible();
    await page.getByLabel("Error budget, in per cent").fill("2");
    await page.getByLabel("Watch the last stage for").fill("20m");
    await page.getByRole("link", { name: "Cancel" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Leave, and keep them" }).click();
    await expect(page.getByRole("heading", { name: "Rollouts", exact: true })).toBeVisible();
    await page.goto(`${world.url}/staging/flags/new-cart`);
    await page.getByRole("link", { name: "Start a rollout" }).click();
    await expect(page.getByLabel("Watch the last stage for")).toHaveValue("20m");
    await expect(page.getByText(/then 60% for 20 min/)).toBeVisible();
    await page.getByRole("button", { name: "Start…" }).click();
    await page.getByRole("dialog").getByLabel("Why").fill("ready for more");
    await page.getByRole("dialog").getByRole("button", { name: "Start", exact: true }).click();

    await expect(page.getByRole("heading", { name: "new-cart-1" })).toBeVisible();
    await expect(page.getByRole("button", { name: "Abort" })).toBeEnabled();
    const started = JSON.parse(await world.cli(["rollout", "status", "new-cart-1", "-e", "staging", "-o", "json"]));
    expect(started.rollout.rollout).toMatchObject({ bake: "1200s", falseRollbackBudget: 0.02 });
    const share = page.getByRole("region", { name: "Share served now" });
    await expect(share.getByText("60%", { exact: true })).toBeVisible({ timeout: 60_000 });
    await expect(page.getByRole("listitem").filter({ hasText: /^30%done in/ })).toBeVisible();

    // Somebody else looks, and sees the same at the same time.
    const other = await browser.newPage();
    await logIn(other, world, eve);
    await other.goto(`${world.url}/staging/rollouts/new-cart-1`);
    await expect(other.getByRole("button", { name: "Abort" })).toBeDisabled();

    traffic.set("errors", "on", 0.5);
    await expect(page.getByText("Shut: everyone got “off” again")).toBeVisible({ timeout: 60_000 });
    await expect(other.getByText("Shut: everyone got “off” again")).toBeVisible({ timeout: 1000 });
    await expect(page.getByText(/evidence of harm .* of \d+/)).toBeVisible();
    await expect(page.getByText("1 of 1 relay has it")).toBeVisible();
    await expect(page.getByText("Now everyone gets off.")).toBeVisible();
    await expect(page.getByText("tidegate rollout replay new-cart-1").first()).toBeVisible();
    await expect
      .poll(async () => (await world.evaluate("new-cart", { targetingKey: "u" }, "staging")).variant)
      .toBe("off");

    // The decision opens with what it was made from; the audit entry says the same.
    await page.getByRole("button", { name: /roll back/ }).click();
    await expect(page.getByText("Decided by")).toBeVisible();
    await expect(page.getByText("rollout shut").or(page.getByText("rolled back")).first()).toBeVisible();
    expect(await stumblingBlocks(page, "light")).toEqual([]);

    const replayed = await world.cli(["rollout", "replay", "new-cart-1", "--all", "-e", "staging"]);
    expect(replayed).toMatch(/the chain of \d+ decisions is whole/);

    // It goes on as it was, under the next key.
    await page.getByRole("link", { name: "Start again", exact: true }).click();
    await expect(page.getByLabel("Key", { exact: true })).toHaveValue("new-cart-2");
    await expect(page.getByLabel("Guardrail 1, as a line")).toHaveValue("errors: rate < +60% relative");
    await expect(page.getByLabel("Stage 1: share in per cent")).toHaveValue("30");
    await page.getByText(/^Advanced/).click();
    await expect(page.getByLabel("Watch the last stage for")).toHaveValue("20m");
    await other.close();
  } finally {
    await traffic.stop();
  }
});

test("a rollout is paused, widened, resumed and aborted by hand", async ({ page, world }) => {
  await make(world, "new-menu");
  await world.cli(
    `rollout start new-menu-1 --flag new-menu --to on --stages 10%,50%,100% --manual -e staging --reason test`.split(
      " ",
    ),
  );
  await logIn(page, world, ada);
  await page.goto(`${world.url}/staging/rollouts/new-menu-1`);
  const share = page.getByRole("region", { name: "Share served now" });
  async function act(button: string, label: string) {
    const name = { name: button, exact: true };
    await page.getByRole("button", name).or(page.getByRole("switch", name)).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Why").fill("a test");
    await dialog.getByRole("button", { name: label, exact: true }).click();
    await expect(dialog).toBeHidden();
  }
  await expect(share.getByText("10%", { exact: true })).toBeVisible();
  await act("Pause", "Pause");
  await act("Widen", "Widen to 50%");
  await expect(share.getByText("50%", { exact: true })).toBeVisible();
  // What a flag that is off serves is not the rollout's share.
  await act("new-menu is on", "Turn off");
  await expect(share).toContainText("everyone gets off. When the flag is on again, 50% get on, the others off.");
  await act("new-menu is off", "Turn on");
  await expect(share.getByText("50%", { exact: true })).toBeVisible();
  await act("Resume", "Resume");
  await expect(page.getByRole("button", { name: "Pause", exact: true })).toBeVisible();
  await act("Abort", "Abort");
  await expect(page.getByText(/Aborted by ada@example\.com: “a test”/)).toBeVisible();
  await expect(page.getByText(/ yet|waiting for/i)).toBeHidden();
  await page.goto(`${world.url}/staging/rollouts`);
  await expect(page.getByRole("region", { name: "Over" }).getByText(/^Aborted by a person/)).toBeVisible();
  await page.getByRole("link", { name: "new-menu-1" }).click();
  await act("Delete", "Delete");
  await expect(page.getByRole("heading", { name: "Rollouts", exact: true })).toBeVisible();
  await expect(page.getByRole("link", { name: "new-menu-1" })).toBeHidden();
});

test("an experiment that is over says what it came to, in the list and on its page", async ({ page, world }) => {
  await make(world, "new-label");
  const traffic = new FlagTraffic(world.relayURL, {
    environment: "staging",
    flagKey: "new-label",
    users: 30,
    happens: { purchases: { on: 0.6, off: 0.3 } },
  });
  try {
    await world.cli(
      "rollout start new-label-1 --flag new-label --to on --strategy experiment -e staging --reason test"
        .split(" ")
        .concat("--success", "rate(purchases) rises"),
    );
    await logIn(page, world, ada);
    await page.goto(`${world.url}/staging/experiments/new-label-1`);
    await expect(page.getByText(/^The treatment is better: between/)).toBeVisible({ timeout: 90_000 });
    await page.getByRole("button", { name: "Abort", exact: true }).click();
    await page.getByRole("dialog").getByLabel("Why").fill("we know enough");
    await page.getByRole("dialog").getByRole("button", { name: "Abort", exact: true }).click();
    const came =
      /^The treatment was better: \+[\d.]+ pp, between \+[\d.]+ pp and \+[\d.]+ pp; [\d,.K]+ counted in both arms\.$/;
    await expect(page.getByText(came).first()).toBeVisible();
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Experiments" }).click();
    const over = page.getByRole("region", { name: "Over" }).getByRole("listitem").filter({ hasText: "new-label-1" });
    await expect(over.getByText(came)).toBeVisible();
    await expect(over.getByText("better", { exact: true })).toBeVisible();
  } finally {
    await traffic.stop();
  }
});
