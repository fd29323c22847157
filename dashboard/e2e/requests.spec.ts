import type { Page } from "@playwright/test";
import { test as base, expect } from "./fixtures";
import { type Person, World } from "./processes";

const password = "the tide comes in, and the tide goes out";
const ada: Person = { name: "ada@example.com", password, roles: ["administrator"] };
const ben: Person = { name: "ben@example.com", password, roles: ["operator"] };

// Two people, who log in through a provider.
const test = base.extend<object, { world: World }>({
  world: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads it
    async ({}, use) => {
      const world = await World.start({ provider: [ada, ben] });
      await world.cli(["apply", "-f", "-", "-e", "production", "--reason", "a test"], manifest);
      await world.cli(["environment", "set", "production", "--approvals", "1", "--reason", "a second person looks"]);
      await use(world);
      await world.stop();
    },
    { scope: "worker", timeout: 240_000 },
  ],
});

const manifest = `apiVersion: tidegate/v1
flags:
  new-checkout:
    owner: web
    type: boolean
    enabled: true
    variants: {"on": true, "off": false}
    offVariant: "off"
    default: "off"
  new-footer:
    owner: web
    type: boolean
    enabled: true
    variants: {"on": true, "off": false}
    offVariant: "off"
    default: "off"
  free-shipping:
    owner: web
    type: boolean
    enabled: false
    variants: {"on": true, "off": false}
    offVariant: "off"
    default: "on"
`;

const promoted = `apiVersion: tidegate/v1
segments:
  regulars:
    included: [ann]
flags:
  gift-cards:
    owner: web
    type: boolean
    enabled: true
    variants: {"on": true, "off": false}
    offVariant: "off"
    rules:
      - id: regulars
        when: [{inSegment: regulars}]
        serve: "on"
    default: "off"
`;

const frozen = `apiVersion: tidegate/v1
flags:
  dark-mode:
    owner: web
    type: boolean
    enabled: false
    variants: {"on": true, "off": false}
    offVariant: "off"
    default: "on"
`;

// Says at the provider who one is.
async function identify(page: Page, person: Person) {
  await page.getByLabel("Username").fill(person.name.split("@")[0] ?? "");
  await page.getByLabel("Password").fill(person.password);
  await page.getByRole("button", { name: "Login" }).click();
}

async function logIn(page: Page, world: World, person: Person) {
  await page.goto(world.url);
  await page.getByRole("link", { name: /Continue with/ }).click();
  await identify(page, person);
  await expect(page.getByRole("navigation", { name: "Pages" })).toBeVisible();
}

async function served(world: World, flagKey: string) {
  return (await world.evaluate(flagKey, { targetingKey: "somebody" })).variant;
}

test("one proposes in a browser, another approves and applies, and the relay serves it", async ({ browser, world }) => {
  const [hers, his] = [await browser.newPage(), await browser.newPage()];
  await logIn(hers, world, ada);
  await logIn(his, world, ben);
  expect(await served(world, "new-checkout")).toBe("off");

  await hers.goto(`${world.url}/production/flags/new-checkout`);
  await hers.getByLabel("Serve").first().selectOption("on");
  await hers.getByRole("button", { name: "Review and save" }).click();
  const proposing = hers.getByRole("dialog");
  await expect(proposing.getByText("1 other person must approve")).toBeVisible();
  await expect(proposing.getByText("Serves on in place of off.")).toBeVisible();
  await proposing.getByLabel("Why").fill("the launch");
  await proposing.getByRole("button", { name: "Propose", exact: true }).click();
  await hers.getByRole("link", { name: "change request #1" }).click();
  await expect(hers.getByRole("heading", { name: "the launch" })).toBeVisible();
  await expect(hers.getByText("Serves on in place of off.")).toBeVisible();
  await hers.getByText("Exactly").click();
  await expect(hers.getByText("default_outcome.variant")).toBeVisible();
  await expect(hers.getByRole("button", { name: "Approve…" })).toBeHidden();
  await expect(hers.getByRole("button", { name: "Apply…" })).toBeDisabled();
  expect(await served(world, "new-checkout")).toBe("off");

  await his.goto(`${world.url}/production/requests`);
  await his.getByRole("link", { name: "the launch" }).click();
  await expect(his.getByText("0 of 1 approval").or(his.getByText(/Somebody else than/))).toBeVisible();
  await his.getByRole("button", { name: "Approve…" }).click();
  await his.getByLabel("Comment (optional)").fill("looked at it");
  await his.getByRole("dialog").getByRole("button", { name: "Approve" }).click();
  await expect(hers.getByText("“looked at it”")).toBeVisible();
  await his.getByRole("button", { name: "Apply…" }).click();
  await his.getByRole("dialog").getByRole("button", { name: "Apply" }).click();
  await expect(his.getByText("It was applied")).toBeVisible();
  await expect(hers.getByText("It was applied")).toBeVisible();
  await expect.poll(() => served(world, "new-checkout")).toBe("on");
});

test("a rollout is proposed from its form, for a time, and is seen at its flag", async ({ browser, world }) => {
  const page = await (await browser.newContext()).newPage();
  await logIn(page, world, ada);
  await page.goto(`${world.url}/production/rollouts/~new?flag=new-footer`);
  await expect(page.getByText(/At once, 1% of everyone.* get “on”/)).toBeVisible();
  await page.getByRole("button", { name: "Start…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Why").fill("a new footer");
  await dialog.getByLabel("Write it at (optional)").fill("2999-01-01T10:00");
  await dialog.getByRole("button", { name: "Propose and schedule" }).click();
  await expect(dialog.getByText(/within a year/)).toBeVisible();
  await dialog.getByLabel("Write it at (optional)").fill("");
  await dialog.getByRole("button", { name: "Propose", exact: true }).click();
  await expect(page.getByRole("heading", { name: "Rollouts", exact: true })).toBeVisible();
  await page.goto(`${world.url}/production/flags/new-footer`);
  await page.getByRole("link", { name: /would change this.*“a new footer”/ }).click();
  await expect(page.getByRole("heading", { name: "a new footer" })).toBeVisible();
  await page.getByRole("button", { name: "Withdraw…" }).click();
  await dialog.getByLabel("Why").fill("another time");
  await dialog.getByRole("button", { name: "Withdraw", exact: true }).click();
  await expect(page.getByText("It was withdrawn")).toBeVisible();
});

test("a promotion is proposed where changes are approved", async ({ browser, world }) => {
  const page = await (await browser.newContext()).newPage();
  await world.cli(["apply", "-f", "-", "-e", "staging", "--reason", "a test"], promoted);
  await logIn(page, world, ada);
  await page.goto(`${world.url}/production/environments/compare?with=staging,production`);
  await page.getByRole("button", { name: "Promote…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Only these keys (optional)").fill("gift-cards");
  await expect(dialog.getByText("gift-cards").first()).toBeVisible();
  await dialog.getByLabel("Why").fill("release 12");
  await dialog.getByRole("button", { name: "Propose", exact: true }).click();
  await page.getByRole("link", { name: /change request #/ }).click();
  await expect(page.getByRole("heading", { name: "release 12" })).toBeVisible();
  await expect(page.getByRole("link", { name: "gift-cards" })).toBeVisible();
  await expect(page.getByRole("link", { name: "regulars" })).toBeVisible();
});

test("the same by the command line", async ({ browser, world }) => {
  const as = async (person: Person) => {
    const page = await (await browser.newContext()).newPage();
    return world.personalCLI(person, async (url) => {
      await page.goto(url);
      await identify(page, person);
      await expect(page.getByText("That is all")).toBeVisible();
    });
  };
  const [hers, his] = [await as(ada), await as(ben)];
  const at = ["-e", "production"];
  const enable = ["flag", "enable", "free-shipping", ...at, "--reason", "spring"];
  await expect(hers(enable)).rejects.toThrow(/approv/);
  const proposed = await hers([...enable, "--propose"]);
  const number = /#(\d+)/.exec(proposed)?.[1] ?? "";
  expect(number).not.toBe("");
  await expect(hers(["request", "approve", number, ...at])).rejects.toThrow(/proposed/);
  await expect(his(["request", "apply", number, ...at])).rejects.toThrow(/approv/);
  await his(["request", "approve", number, ...at]);
  expect(await served(world, "free-shipping")).toBe("off");
  await his(["request", "apply", number, ...at]);
  await expect.poll(() => served(world, "free-shipping")).toBe("on");
});

test("a freeze is seen everywhere, and lifted", async ({ browser, world }) => {
  const [hers, his] = [await (await browser.newContext()).newPage(), await (await browser.newContext()).newPage()];
  await world.cli(["apply", "-f", "-", "-e", "staging", "--reason", "a test"], frozen);
  await logIn(hers, world, ada);
  await logIn(his, world, ben);
  await his.getByRole("button", { name: "Freeze everything…" }).click();
  await his.getByRole("dialog").getByLabel("Why").fill("the shop is down");
  await his.getByRole("button", { name: "Freeze now" }).click();
  const band = hers.getByRole("alert").filter({ hasText: "by ben@example.com" });
  await expect(band).toContainText("the shop is down");
  await expect(band).toContainText("to turn flags off, and operational ones on");

  // What would be refused says so before it is written.
  await hers.goto(`${world.url}/staging/flags?q=dark-mode`);
  await hers.getByRole("switch", { name: "dark-mode is off" }).click();
  const dialog = hers.getByRole("dialog");
  await dialog.getByLabel("Why").fill("it is needed");
  await expect(dialog).toContainText("This is refused until that is over.");
  await expect(dialog.getByRole("button", { name: "Turn on" })).toBeDisabled();
  await his.getByRole("button", { name: "Lift…" }).click();
  await his.getByRole("dialog").getByLabel("Why").fill("it is up again");
  await his.getByRole("dialog").getByRole("button", { name: "Lift" }).click();
  await expect(band).toBeHidden();
  await dialog.getByRole("button", { name: "Turn on" }).click();
  await expect(hers.getByRole("switch", { name: "dark-mode is on" })).toBeVisible();
});

test("keys and people are made, and a secret is shown once", async ({ page, world }) => {
  await logIn(page, world, ada);
  await page.goto(`${world.url}/production/keys`);
  await page.getByRole("button", { name: "New key" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("checkout service");
  await dialog.getByLabel("Why").fill("a test");
  await dialog.getByRole("button", { name: "Make it" }).click();
  await expect(page.getByRole("dialog", { name: "The secret of checkout service" })).toContainText("tgk_");
  await page.getByRole("button", { name: "I have kept it" }).click();
  await expect(page.getByRole("link", { name: "checkout service" })).toBeVisible();
  expect(await page.content()).not.toContain("tgk_");

  // The only copy of a secret is there until somebody has kept it, whatever can be read meanwhile.
  await page.getByRole("link", { name: "checkout service" }).click();
  await page.getByRole("button", { name: "Rotate…" }).click();
  await dialog.getByLabel("Why").fill("a test");
  await page.route("**/GetKey", (route) => route.fulfill({ status: 404, json: { code: "not_found" } }));
  await dialog.getByRole("button", { name: "Rotate", exact: true }).click();
  await expect(page.getByRole("heading", { name: /^Key / })).toBeVisible();
  const secret = page.getByRole("dialog", { name: "The secret of checkout service" });
  await expect(secret).toContainText("tgk_");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await expect(secret).toContainText("Have you kept it?");
  await expect(secret).toContainText("tgk_");
  await page.getByRole("button", { name: "I have kept it" }).click();
  await page.unroute("**/GetKey");

  await page.goto(`${world.url}/production/people`);
  await page.getByRole("button", { name: "Add somebody" }).click();
  await dialog.getByLabel("E-mail address").fill("cleo@example.com");
  await dialog.getByLabel("First password").fill("a password that is long");
  await dialog.getByLabel("Role").selectOption("editor");
  await dialog.getByLabel("Why").fill("she joined");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("link", { name: "cleo@example.com" }).click();
  await expect(page.getByText("editor everywhere")).toBeVisible();
});

test("what the server refuses of settings is said at the field", async ({ page, world }) => {
  await logIn(page, world, ada);
  await page.goto(`${world.url}/staging/environments/settings`);
  const pattern = page.getByLabel("Keys must match (optional)");
  await pattern.fill("[");
  await page.getByRole("button", { name: "Review and save" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Why").fill("a test");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(dialog.getByText(/is not a regular expression/).first()).toBeVisible();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await expect(pattern).toHaveAccessibleDescription(/is not a regular expression/);
  await expect(page.getByText("1 thing to mend.")).toBeVisible();
  await pattern.fill("[a-z-]+");
  await expect(pattern).not.toHaveAccessibleDescription(/is not a regular expression/);
  await page.getByRole("button", { name: "Discard" }).click();
});

test("settings are changed after a look at what differs", async ({ page, world }) => {
  await logIn(page, world, ada);
  await page.goto(`${world.url}/staging/environments/settings`);
  await page.getByRole("checkbox", { name: /^Protected/ }).check();
  await page.getByRole("button", { name: "Review and save" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByText("Protected: yes, was no.")).toBeVisible();
  await dialog.getByText("Exactly").click();
  await expect(dialog.locator(".diff")).toContainText("protected");
  await dialog.getByLabel("Why").fill("a test");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("staging · changes here reach users")).toBeVisible();
});
