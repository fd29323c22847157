import { create, fromJson, type JsonObject } from "@bufbuild/protobuf";
import type { FlagPolicy } from "../gen/tidegate/control/v1/environment_pb";
import { type Flag, FlagSchema } from "../gen/tidegate/flag/v1/flag_pb";

export type Template = {
  id: string;
  name: string;
  // What it is good for, in a sentence.
  purpose: string;
  flag: JsonObject;
};

const onOff = {
  type: "VALUE_TYPE_BOOLEAN",
  variants: [
    { name: "on", value: true },
    { name: "off", value: false },
  ],
  off_variant: "off",
};
const off = { variant: "off" };

// Where a new flag begins.
export const templates: Template[] = [
  {
    id: "release",
    name: "Release",
    purpose: "Code that is deployed, and reaches users later: staff first, then a rollout.",
    flag: { ...onOff, kind: "FLAG_KIND_RELEASE", default_outcome: off, expected_lifetime: "7776000s" },
  },
  {
    id: "percentage",
    name: "Percentage",
    purpose: "A share of users, the same ones each time. Widen it by hand.",
    flag: {
      ...onOff,
      kind: "FLAG_KIND_RELEASE",
      expected_lifetime: "7776000s",
      default_outcome: {
        split: {
          variants: [
            { variant: "on", weight: 500 },
            { variant: "off", weight: 9500 },
          ],
        },
      },
    },
  },
  {
    id: "experiment",
    name: "Experiment",
    purpose: "Two variants, half of the users each, until one has won.",
    flag: {
      type: "VALUE_TYPE_STRING",
      kind: "FLAG_KIND_EXPERIMENT",
      expected_lifetime: "5184000s",
      variants: [
        { name: "treatment", value: "treatment" },
        { name: "control", value: "control" },
      ],
      off_variant: "control",
      default_outcome: {
        split: {
          variants: [
            { variant: "treatment", weight: 5000 },
            { variant: "control", weight: 5000 },
          ],
        },
      },
    },
  },
  {
    id: "kill-switch",
    name: "Kill switch",
    purpose: "On all the time; turned off in an emergency, within a second everywhere.",
    flag: { ...onOff, kind: "FLAG_KIND_OPERATIONAL", enabled: true, default_outcome: { variant: "on" } },
  },
  {
    id: "config",
    name: "Configuration",
    purpose: "Values that code reads while it runs, as a JSON object.",
    flag: {
      type: "VALUE_TYPE_OBJECT",
      kind: "FLAG_KIND_OPERATIONAL",
      enabled: true,
      variants: [
        { name: "standard", value: { timeoutMs: 500, retries: 2 } },
        { name: "careful", value: { timeoutMs: 2000, retries: 5 } },
      ],
      off_variant: "standard",
      default_outcome: { variant: "standard" },
    },
  },
  {
    id: "permission",
    name: "Permission",
    purpose: "Something that some customers have: by their plan, or a list.",
    flag: {
      ...onOff,
      kind: "FLAG_KIND_PERMISSION",
      enabled: true,
      rules: [
        {
          id: "plan",
          description: "Customers whose plan has it.",
          clauses: [{ attribute: "plan", operator: "OPERATOR_IN", values: ["enterprise"] }],
          outcome: { variant: "on" },
        },
      ],
      default_outcome: off,
    },
  },
];

export function fromTemplate(t: Template, about: { key: string; description: string; owner: string }): Flag {
  return create(FlagSchema, { ...fromJson(FlagSchema, t.flag), ...about });
}

const keyPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

// What is wrong with a key in an environment that has such a policy; undefined: nothing.
export function keyProblem(key: string, policy: FlagPolicy | undefined, taken: boolean): string | undefined {
  if (key === "") return undefined;
  if (!keyPattern.test(key))
    return "Must be letters, digits, “.”, “_” and “-”, begin with a letter or a digit, and have at most 128 characters.";
  const prefixes = policy?.keyPrefixes ?? [];
  if (prefixes.length > 0 && !prefixes.some((p) => key.startsWith(p)))
    return `Must begin with ${prefixes.join(" or ")} in this environment.`;
  if (policy?.keyPattern && matches(policy.keyPattern, key) === false)
    return `Must match ${policy.keyPattern} in this environment.`;
  return taken ? "There is a flag of this key already." : undefined;
}

// Whether all of the key matches; undefined where the pattern is not one of JavaScript's: the
// server knows.
function matches(pattern: string, key: string): boolean | undefined {
  try {
    return new RegExp(`^(?:${pattern})$`, "u").test(key);
  } catch {
    return undefined;
  }
}

// What the policy asks for, in words.
export function policyWords(policy: FlagPolicy | undefined): string[] {
  if (!policy) return [];
  const all: string[] = [];
  if (policy.keyPrefixes.length > 0) all.push(`Keys begin with “${policy.keyPrefixes.join("” or “")}”.`);
  if (policy.keyPattern) all.push(`Keys match “${policy.keyPattern}”.`);
  if (policy.requireOwner) all.push("Each flag has an owner.");
  if (policy.requireKind) all.push("Each flag has a kind.");
  if (policy.explanation) all.push(policy.explanation);
  return all;
}
