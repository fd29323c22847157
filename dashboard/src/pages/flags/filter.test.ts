import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { StaleReason_Kind } from "../../gen/tidegate/control/v1/flag_service_pb";
import { FlagActivitySchema, FlagSummarySchema } from "../../gen/tidegate/control/v1/watch_service_pb";
import { FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";
import { facet, filterFlags, noQuery, readQuery, writeQuery } from "./filter";

const flags = [
  create(FlagSummarySchema, {
    key: "new-checkout",
    description: "One page",
    owner: "payments",
    tags: ["web"],
    enabled: true,
    kind: FlagKind.RELEASE,
    revision: 9n,
    rollouts: ["r1"],
  }),
  create(FlagSummarySchema, {
    key: "dark-mode",
    owner: "design",
    tags: ["web", "ios"],
    revision: 12n,
  }),
  create(FlagSummarySchema, {
    key: "rate-limit",
    owner: "platform",
    enabled: true,
    kind: FlagKind.OPERATIONAL,
    revision: 4n,
    unusable: true,
  }),
];
const activities = new Map([
  [
    "dark-mode",
    create(FlagActivitySchema, {
      flagKey: "dark-mode",
      stale: [StaleReason_Kind.UNUSED],
    }),
  ],
  [
    "rate-limit",
    create(FlagActivitySchema, {
      flagKey: "rate-limit",
      evaluations: [{ variant: "on", counts: [1n, 2n] }],
      lastEvaluatedAt: { seconds: 5n },
    }),
  ],
]);
const keys = (q: Partial<typeof noQuery>) => filterFlags(flags, activities, { ...noQuery, ...q }).map((f) => f.key);

describe("filterFlags", () => {
  it.each([
    ["everything, by key", {}, ["dark-mode", "new-checkout", "rate-limit"]],
    ["backwards", { down: true }, ["rate-limit", "new-checkout", "dark-mode"]],
    ["words in any order and any field, whatever their case", { text: "PAY checkout" }, ["new-checkout"]],
    ["a word that is nowhere", { text: "checkout nowhere" }, []],
    ["on", { state: "on" as const }, ["new-checkout", "rate-limit"]],
    ["off", { state: "off" as const }, ["dark-mode"]],
    ["under a rollout", { state: "rollout" as const }, ["new-checkout"]],
    ["stale", { state: "stale" as const }, ["dark-mode"]],
    ["unusable", { state: "unusable" as const }, ["rate-limit"]],
    ["of a kind", { kind: FlagKind.OPERATIONAL }, ["rate-limit"]],
    ["of an owner", { owner: "design" }, ["dark-mode"]],
    ["with a tag", { tag: "web" }, ["dark-mode", "new-checkout"]],
    ["changed last", { sort: "changed" as const }, ["dark-mode", "new-checkout", "rate-limit"]],
    ["evaluated last", { sort: "evaluated" as const }, ["rate-limit", "dark-mode", "new-checkout"]],
    ["evaluated most", { sort: "evaluations" as const }, ["rate-limit", "dark-mode", "new-checkout"]],
  ])("%s", (_, q, want) => {
    expect(keys(q)).toEqual(want);
  });
});

describe("the address", () => {
  it("keeps a query", () => {
    const q = {
      ...noQuery,
      text: "a b",
      state: "stale" as const,
      kind: FlagKind.RELEASE,
      owner: "x&y",
      tag: "t",
      sort: "changed" as const,
      down: true,
    };
    expect(readQuery(writeQuery(q))).toEqual(q);
    expect(writeQuery(noQuery)).toBe("");
  });
  it("takes no nonsense", () => {
    expect(readQuery("?state=__proto__&sort=1&kind=77&down=yes")).toEqual(noQuery);
  });
});

it("facet lists what there is, the most frequent first", () => {
  expect(facet(flags, (f) => f.tags)).toEqual(["web", "ios"]);
});
