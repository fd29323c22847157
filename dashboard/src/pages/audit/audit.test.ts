import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { Action, AuditEntrySchema, ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import { byCommit, byDay, hasGap, joined } from "./entries";
import { type AuditQuery, filterOf, filtersSet, lets, noQuery, readQuery, writeQuery } from "./filter";

const entry = (sequence: number, o: Parameters<typeof create<typeof AuditEntrySchema>>[1] = {}) =>
  create(AuditEntrySchema, {
    environment: "production",
    kind: ResourceKind.FLAG,
    key: "new-checkout",
    sequence: BigInt(sequence),
    revision: BigInt(sequence * 10),
    action: Action.DISABLED,
    actor: "ada",
    reason: "Checkout errors",
    requestId: "r1",
    time: timestampFromDate(new Date(2026, 10, 26, 14, sequence)),
    ...o,
  });

const full: AuditQuery = {
  trail: "_access",
  text: "errors",
  who: "ada",
  kind: ResourceKind.ROLLOUT,
  key: "new-checkout",
  action: Action.ROLLED_BACK,
  request: "r1",
  since: "2026-11-26T14:00",
  until: "2026-11-27T00:00",
};

describe("the query", () => {
  it("survives the address", () => {
    expect(readQuery(writeQuery(full))).toEqual(full);
    expect(writeQuery(noQuery)).toBe("");
    expect(writeQuery(full)).toContain("action=rolled-back");
  });

  it("forgets what it does not know", () => {
    expect(readQuery("trail=other&kind=boat&action=sink")).toEqual(noQuery);
  });

  it("counts its filters without the trail", () => {
    expect(filtersSet(noQuery)).toBe(0);
    expect(filtersSet(full)).toBe(8);
  });
});

describe("the filter", () => {
  const ask = (q: Partial<AuditQuery>) => lets(filterOf({ ...noQuery, ...q }), entry(1));
  it.each([
    [{}, true],
    [{ text: "ERRORS" }, true],
    [{ text: "deployment" }, false],
    [{ who: "ada" }, true],
    [{ who: "ad" }, false],
    [{ kind: ResourceKind.SEGMENT }, false],
    [{ key: "new-checkout" }, true],
    [{ key: "new" }, false],
    [{ action: Action.DISABLED }, true],
    [{ action: Action.ENABLED }, false],
    [{ request: "r2" }, false],
    [{ since: "2026-11-26T14:01" }, true],
    [{ since: "2026-11-26T14:02" }, false],
    [{ until: "2026-11-26T14:01" }, false],
    [{ since: "no time" }, true],
  ])("%o: %s", (q, let_) => {
    expect(ask(q)).toBe(let_);
  });

  it("leaves keys out unless they are asked for", () => {
    const key = entry(1, { kind: ResourceKind.KEY });
    expect(lets(filterOf(noQuery), key)).toBe(false);
    expect(lets(filterOf({ ...noQuery, kind: ResourceKind.KEY }), key)).toBe(true);
  });
});

describe("entries", () => {
  it("are joined, newest first, each once, the first kept", () => {
    const told = entry(2, { reason: "first" });
    const list = joined([entry(3), told], [entry(2, { reason: "second" }), entry(1)]);
    expect(list.map((e) => e.sequence)).toEqual([3n, 2n, 1n]);
    expect(list[1]).toBe(told);
  });

  it("know when some may be missing", () => {
    const newest = [entry(9), entry(8)];
    expect(hasGap(70n, newest)).toBe(true);
    expect(hasGap(80n, newest)).toBe(false);
    expect(hasGap(0n, newest)).toBe(false);
    expect(hasGap(70n, [])).toBe(false);
  });

  it("are one where they were written at once, told by the rollout", () => {
    const flag = entry(2);
    const rollout = entry(7, { kind: ResourceKind.ROLLOUT, key: "new-checkout-1", revision: 20n });
    expect(byCommit([entry(3), flag, rollout, entry(1)])).toEqual([
      { entry: entry(3), along: [] },
      { entry: rollout, along: [flag] },
      { entry: entry(1), along: [] },
    ]);
  });

  it("are grouped by day", () => {
    const yesterday = entry(0, { time: timestampFromDate(new Date(2026, 10, 25, 23, 59)) });
    const days = byDay([entry(2), entry(1), yesterday]);
    expect(days.map((d) => d.entries.length)).toEqual([2, 1]);
    expect(days[1]?.day).toContain("25");
  });
});
