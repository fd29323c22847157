import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { AuditEntrySchema, ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import { type Relay, RelaySchema } from "../../gen/tidegate/control/v1/fleet_service_pb";
import { type Arrival, arrivals, isSent, middleAndMost, observe, ticks } from "./propagation";
import { byRegion, standingOf } from "./relays";
import { measuredWords, olderWords, unmeasuredWords } from "./spread-words";
import { place, treeOf } from "./tree";

type Init = { region?: string; upstream?: string; revision?: bigint; seen?: number; connected?: boolean };
const relay = (instanceId: string, o: Init = {}): Relay =>
  create(RelaySchema, {
    instanceId,
    region: o.region ?? "",
    server: "cp",
    upstream: o.upstream ?? "cp",
    connected: o.connected ?? true,
    lastSeen: timestampFromMs(o.seen ?? 0),
    environments: [{ environment: "production", cursor: { revision: o.revision ?? 1n } }],
  });

describe("propagation", () => {
  const entry = create(AuditEntrySchema, { kind: ResourceKind.FLAG, revision: 5n, time: timestampFromMs(1000) });

  it("tells how long a change took to each relay, by the servers' clock", () => {
    let passings = observe(new Map(), [relay("a", { revision: 4n }), relay("b", { revision: 4n })], "production");
    passings = observe(passings, [relay("a", { revision: 5n, seen: 1012 })], "production");
    const told = arrivals(entry, [relay("a"), relay("b")], passings);
    expect(told.map((t) => t.after)).toEqual([12, undefined]);
  });

  it("counts a relay that skipped the revision for a later one", () => {
    let passings = observe(new Map(), [relay("a", { revision: 4n })], "production");
    passings = observe(passings, [relay("a", { revision: 9n, seen: 1500 })], "production");
    expect(arrivals(entry, [relay("a")], passings)[0]?.after).toBe(500);
  });

  it("does not make up a time for what a relay had before the page looked", () => {
    const passings = observe(new Map(), [relay("a", { revision: 5n, seen: 90_000 })], "production");
    expect(arrivals(entry, [relay("a")], passings)[0]?.after).toBe("before");
  });

  it("keeps the first time that a revision was heard of, and the same map if nothing is new", () => {
    let passings = observe(new Map(), [relay("a", { revision: 4n })], "production");
    passings = observe(passings, [relay("a", { revision: 5n, seen: 1010 })], "production");
    expect(observe(passings, [relay("a", { revision: 5n, seen: 6000 })], "production")).toBe(passings);
  });

  it("knows which changes relays are sent", () => {
    expect(isSent(entry)).toBe(true);
    expect(isSent(create(AuditEntrySchema, { kind: ResourceKind.ROLLOUT }))).toBe(false);
  });

  it("has an axis that ends after all of it", () => {
    expect(ticks(0)).toEqual([0, 1]);
    expect(ticks(12)).toEqual([0, 5, 10, 15]);
    expect(ticks(380)).toEqual([0, 100, 200, 300, 400]);
  });

  it("finds the middle and the most", () => {
    expect(middleAndMost([30, 10, 20])).toEqual({ middle: 20, most: 30 });
    expect(middleAndMost([])).toBeUndefined();
  });
});

describe("what is said of how a change travelled", () => {
  const spread = (...afters: Arrival["after"][]) => afters.map((after, i) => ({ relay: relay(`r${i + 1}`), after }));

  it("says all only of all", () => {
    expect(olderWords(spread(12, 120))).toBe("all after 120 ms");
    expect(olderWords(spread(120))).toBe("after 120 ms");
    expect(olderWords(spread(12, 120, undefined))).toBe("2 of 3 after 120 ms, not r3");
    expect(olderWords(spread(12, 120, "before"))).toBe("2 of 3 after 120 ms, the others were not measured");
    expect(olderWords(spread(12, "before", undefined, undefined, undefined))).toBe(
      "1 of 5 after 12 ms, not r3, r4 and 1 more",
    );
    expect(olderWords(spread("before", undefined))).toBeUndefined();
  });

  it("says how many had it when", () => {
    expect(measuredWords(spread(12))).toBe("It was applied 12 ms after the commit.");
    expect(measuredWords(spread(10, 20, 30))).toBe(
      "Half of the relays had applied it 20 ms after the commit, the last one of 3 after 30 ms.",
    );
    expect(measuredWords(spread(10, 20, 30, undefined))).toBe(
      "Of the 3 of 4 relays that were measured, half had applied it 20 ms after the commit, the last one after 30 ms. Not yet: r4.",
    );
    expect(measuredWords(spread(10, "before"))).toBe(
      "Of 2 relays 1 was measured: it had applied it 10 ms after the commit.",
    );
    expect(measuredWords(spread(undefined))).toBeUndefined();
  });
});

describe("relays", () => {
  it("says how one stands, the worst first", () => {
    const one = relay("a");
    expect(standingOf(one, "production").words).toBe("up to date");
    const late = relay("b");
    if (late.environments[0]) late.environments[0].lag = durationFromMs(2500);
    expect(standingOf(late, "production")).toMatchObject({ tone: "warn", words: "2.5 s behind" });
    if (late.environments[0]) late.environments[0].lag = durationFromMs(400);
    expect(standingOf(late, "production").words).toBe("up to date");
    if (late.environments[0]) late.environments[0].rejections = 2;
    expect(standingOf(late, "production")).toMatchObject({ tone: "bad", words: "cannot use 2" });
    expect(standingOf(relay("c", { connected: false }), "production").words).toBe("not connected");
    expect(standingOf(one, "staging").words).toBe("has nothing yet");
  });

  it("groups them by region, those without one last", () => {
    const regions = byRegion(
      [
        relay("c"),
        relay("b", { region: "us" }),
        relay("a", { region: "eu" }),
        relay("d", { region: "eu", connected: false }),
      ],
      "production",
    );
    expect(regions.map((r) => [r.name, r.relays.length, r.upToDate])).toEqual([
      ["eu", 2, 1],
      ["us", 1, 1],
      ["", 1, 1],
    ]);
  });
});

describe("tree", () => {
  it("has relays below relays, and parents in the middle of their children", () => {
    const { placed, rows, depth } = place(
      treeOf([relay("a"), relay("a1", { upstream: "a" }), relay("a2", { upstream: "a" }), relay("b")]),
    );
    expect(depth).toBe(2);
    expect(rows).toBe(3);
    const at = (id: string) => placed.find((p) => p.node.id === id);
    expect(at("a")?.row).toBe(0.5);
    expect(at("a1")?.parent?.node.id).toBe("a");
    expect(at("cp")?.depth).toBe(0);
  });

  it("hangs a relay whose upstream is not known below its server", () => {
    const [root] = treeOf([relay("a", { upstream: "gone" })]);
    expect(root?.children.map((c) => c.id)).toEqual(["a"]);
  });

  it("shows all relays even if they say that they follow each other", () => {
    const { placed } = place(treeOf([relay("a", { upstream: "b" }), relay("b", { upstream: "a" })]));
    expect(placed.map((p) => p.node.id).sort()).toEqual(["a", "b", "cp"]);
  });

  it("draws many leaves of a region as one", () => {
    const many = Array.from({ length: 40 }, (_, i) => relay(`r${i}`, { region: "eu" }));
    const [root] = treeOf([...many, relay("us-1", { region: "us" })]);
    expect(root?.children.map((c) => [c.kind, c.relays.length])).toEqual([
      ["group", 40],
      ["relay", 1],
    ]);
  });

  it("does not say of all relays what one of them lacks", () => {
    const before = { relay: relay("a"), after: "before" as const };
    const not = { relay: relay("b"), after: undefined };
    expect(unmeasuredWords([before, before])).toBe(
      "The relays had this change before that: make another one to see it travel.",
    );
    expect(unmeasuredWords([before, before, not])).toBe(
      "2 relays had this change before that. 1 relay does not have it yet.",
    );
    expect(unmeasuredWords([not, not])).toBe("2 relays do not have it yet.");
  });
});
