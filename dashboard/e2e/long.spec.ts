import { settled } from "./addresses";
import { beyond, narrow, wide } from "./beyond";
import { Caller } from "./caller";
import { ada, expect, logIn, test } from "./fixtures";

// What people write has no spaces where one would like them: keys, links, names of variants.
const key = `checkout.${"k".repeat(119)}`;
const word = "w".repeat(128);
const link = `See https://wiki.example.com/${"page".repeat(19)} and ${"d".repeat(400)}`;
const variants = Array.from({ length: 60 }, (_, i) => `variant-${i}`);
const split = { split: { variants: variants.map((variant) => ({ variant, weight: 1 })) } };

const segment = {
  key: `segment.${"s".repeat(120)}`,
  description: link,
  owner: word,
  included: [word],
  rules: [{ clauses: [{ attribute: "a".repeat(100), operator: "OPERATOR_ENDS_WITH", values: [word] }] }],
};
const flag = {
  key,
  description: link,
  owner: word,
  tags: ["t".repeat(64), "short"],
  kind: "FLAG_KIND_RELEASE",
  type: "VALUE_TYPE_STRING",
  enabled: true,
  variants: [{ name: word, value: word }, ...variants.map((name) => ({ name, value: name }))],
  offVariant: word,
  rules: [
    {
      id: "r".repeat(128),
      description: link,
      clauses: [
        { attribute: "country", operator: "OPERATOR_IN", values: [word, "CA"] },
        { operator: "OPERATOR_IN_SEGMENT", values: [segment.key] },
      ],
      outcome: { variant: word },
    },
  ],
  defaultOutcome: split,
};

test("words that are long, and variants that are many, make no page too wide", async ({ page, world }) => {
  test.setTimeout(240_000);
  const caller = await Caller.logIn(world, ada);
  const environment = "dev";
  const reason = link;
  await caller.call("SegmentService/CreateSegment", { environment, segment, reason });
  await caller.call("FlagService/CreateFlag", { environment, flag, reason });
  await logIn(page, world, ada);

  const fits = async (what: string) => {
    for (const size of [wide, narrow]) {
      await page.setViewportSize(size);
      expect.soft(await beyond(page), `${what}: px too wide at ${size.width}`).toBe(0);
    }
    await page.setViewportSize(wide);
  };
  const open = async (path: string) => {
    await page.goto(`${world.url}/${environment}/${path}`);
    await settled(page);
  };

  for (const path of [
    "flags",
    ...["", "?tab=variants", "?tab=history", "?tab=settings", "?tab=raw"].map((tab) => `flags/${key}${tab}`),
    "segments",
    ...["", "?tab=history", "?tab=settings"].map((tab) => `segments/${segment.key}${tab}`),
    "audit",
    "hygiene",
    "environments/compare",
    `flags/${key.replace("k", "x")}`,
    `segments/${word}`,
  ]) {
    await open(path);
    await fits(path);
  }

  await open(`flags/${key}?tab=try`);
  await page.getByLabel("Targeting key").fill("user-1");
  await expect(page.locator(".ruler")).toBeVisible();
  await expect(page.locator(".steps")).toContainText(/the split of everyone else gives variant-\d+\./);
  await fits("try it");

  await open(`flags/${key}`);
  await page.getByRole("switch", { name: `${key} is on` }).click();
  await fits("to turn off");
  await page.getByLabel("Why").fill(link);
  await page.getByRole("dialog").getByRole("button", { name: "Turn off" }).click();
  await expect(page.locator(".toast")).toBeVisible();
  await fits("turned off");

  await open(`flags/${key}?tab=settings`);
  await page.getByLabel("Description").fill(`${link} edited`);
  await page.getByRole("button", { name: "Review and save" }).click();
  await fits("to save");
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Discard" }).click();

  // What a rollout comes to is not cut off.
  const plain = { key: "checkout", type: "VALUE_TYPE_BOOLEAN", enabled: true, offVariant: "off" };
  const two = [
    { name: "on", value: true },
    { name: "off", value: false },
  ];
  await caller.call("FlagService/CreateFlag", {
    environment,
    flag: { ...plain, variants: two, defaultOutcome: { variant: "off" } },
    reason,
  });
  await caller.call("RolloutService/StartRollout", {
    environment,
    rollout: {
      key: "the-new-checkout-for-everyone",
      flagKey: "checkout",
      treatment: "on",
      strategy: "STRATEGY_CANARY",
      stages: [{ weight: 2000, minDwell: "600s" }],
      bake: "600s",
      guardrails: [
        {
          name: "errors",
          metric: "errors",
          statistic: "STATISTIC_RATE",
          worse: "DIRECTION_INCREASE",
          margin: { relative: 0.5 },
        },
      ],
    },
    reason,
  });
  await open("flags/checkout");
  await page.setViewportSize(narrow);
  const words = page.locator(".rollout-strip > span:nth-child(2)");
  await expect(words).toContainText("20% now");
  expect.soft(await words.evaluate((e) => e.scrollWidth - e.clientWidth), "a rollout, cut off").toBe(0);
  await page.setViewportSize(wide);

  await open("flags/~new");
  await page.getByLabel("Key").fill(key.replace("k", "x"));
  await page.getByRole("button", { name: "Create…" }).click();
  await fits("to create");
});
