import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { FlagPolicySchema } from "../gen/tidegate/control/v1/environment_pb";
import { explainFlag } from "./explain-flag";
import { fromTemplate, keyProblem, policyWords, templates } from "./templates";
import { plain } from "./words";
import { readFlag } from "./yaml/flag-read";
import { writeFlag } from "./yaml/flag-write";

it.each(templates.map((t) => [t.id, t] as const))("%s is a flag that can be written and told", (_, t) => {
  const flag = fromTemplate(t, { key: "k", description: "d", owner: "o" });
  expect(readFlag(writeFlag(flag), "k").problems).toEqual([]);
  expect(plain(explainFlag({ ...flag, enabled: true }))).toMatch(/^Serves /);
  expect([flag.key, flag.owner]).toEqual(["k", "o"]);
  // What is new comes first, and the total is one that stages can say.
  const split = flag.defaultOutcome?.kind.case === "split" ? flag.defaultOutcome.kind.value.variants : undefined;
  if (split) expect(split.reduce((sum, v) => sum + v.weight, 0)).toBe(10_000);
});

const policy = create(FlagPolicySchema, { keyPattern: "[a-z.-]+", keyPrefixes: ["web.", "ios."], requireOwner: true });

it.each([
  ["", undefined],
  ["web.checkout", undefined],
  ["-x", /Must be letters/],
  ["android.x", /begin with web\. or ios\./],
  ["web.X", /Must match \[a-z\.-\]\+/],
])("the key %j", (key, want) => {
  const problem = keyProblem(key, policy, false);
  if (want) expect(problem).toMatch(want);
  else expect(problem).toBeUndefined();
});

it("a key that is taken; a pattern that only the server knows", () => {
  expect(keyProblem("web.a", policy, true)).toMatch(/already/);
  expect(keyProblem("a", create(FlagPolicySchema, { keyPattern: "(?i)[" }), false)).toBeUndefined();
});

it("tells what the policy asks for", () => {
  expect(policyWords(undefined)).toEqual([]);
  expect(policyWords(policy)).toEqual([
    "Keys begin with “web.” or “ios.”.",
    "Keys match “[a-z.-]+”.",
    "Each flag has an owner.",
  ]);
});
