import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { FlagPolicySchema } from "../../gen/tidegate/control/v1/environment_pb";
import { StaleFlagSchema, StaleReason_Kind } from "../../gen/tidegate/control/v1/flag_service_pb";
import { FlagSummarySchema } from "../../gen/tidegate/control/v1/watch_service_pb";
import { FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";
import { byOwner, counts, findAll, summaryWords, told } from "./findings";
import { readQuery, seconds, short, writeQuery } from "./query";

const flag = (key: string, o: Parameters<typeof create<typeof FlagSummarySchema>>[1] = {}) =>
  create(FlagSummarySchema, { key, owner: "payments", kind: FlagKind.RELEASE, ...o });
const stale = (flagKey: string, ...kinds: StaleReason_Kind[]) =>
  create(StaleFlagSchema, { flagKey, reasons: kinds.map((kind) => ({ kind, text: "not evaluated for 20 days" })) });
const problemsOf = (found: ReturnType<typeof findAll>) =>
  Object.fromEntries(found.map((f) => [f.flag.key, f.findings.map((x) => x.problem)]));

describe("findings", () => {
  it("are counted in a sentence that is true of none, too", () => {
    const said = (flags: number, found: number) => summaryWords({ known: true, failed: false, flags, found });
    expect([said(0, 0), said(1, 0), said(12, 0), said(12, 3)]).toEqual([
      "There are no flags yet.",
      "The one flag is in order.",
      "All 12 flags are in order.",
      "3 of 12 flags could do with some care.",
    ]);
  });

  it("leave out what is in order", () => {
    expect(findAll([flag("good")], [], undefined)).toEqual([]);
  });

  it("join what is stale with what is not said and cannot be used, the most urgent first", () => {
    const found = findAll(
      [flag("b", { kind: 0, owner: "" }), flag("a"), flag("c", { unusable: true })],
      [stale("a", StaleReason_Kind.CONSTANT, StaleReason_Kind.UNUSED), stale("gone", StaleReason_Kind.UNUSED)],
      undefined,
    );
    expect(problemsOf(found)).toEqual({ c: ["unusable"], a: ["unused", "constant"], b: ["owner", "kind"] });
    expect(found.map((f) => f.flag.key)).toEqual(["c", "a", "b"]);
    expect(found[1]?.findings[0]?.text).toBe("Not evaluated for 20 days.");
  });

  it("hold flags against the policy as a whole key, prefixes, owner and kind", () => {
    const policy = create(FlagPolicySchema, { keyPattern: "[a-z]+", keyPrefixes: ["web", "api"], requireOwner: true });
    const found = findAll([flag("web"), flag("web-1"), flag("shop"), flag("api", { owner: "" })], [], policy);
    expect(problemsOf(found)).toEqual({ "web-1": ["policy"], shop: ["policy"], api: ["policy", "owner"] });
  });

  it("do not say twice that there is no owner", () => {
    const policy = create(FlagPolicySchema, { requireOwner: true });
    const [found] = findAll([flag("api", { owner: "", kind: 0 })], [], policy);
    expect(found && told(found).map((f) => f.problem)).toEqual(["policy", "kind"]);
  });

  it("take a policy's words for its words, whatever is in its pattern", () => {
    const policy = create(FlagPolicySchema, { keyPattern: "owner-.*", keyPrefixes: ["kind-"] });
    const [found] = findAll([flag("api", { owner: "", kind: 0 })], [], policy);
    expect(found && told(found).map((f) => f.problem)).toEqual(["policy", "owner", "kind"]);
  });

  it("are in order only where everything was looked at", () => {
    const none = { found: 0, flags: 3 };
    expect(summaryWords({ ...none, known: true, failed: false })).toBe("All 3 flags are in order.");
    expect(summaryWords({ found: 1, flags: 3, known: true, failed: false })).toBe(
      "1 of 3 flags could do with some care.",
    );
    expect(summaryWords({ ...none, known: false, failed: false })).toBe("Loading…");
    expect(summaryWords({ ...none, known: false, failed: true })).toBe("Not everything could be looked at.");
  });

  it("do not judge by an expression that a browser cannot read", () => {
    const policy = create(FlagPolicySchema, { keyPattern: "(?i)web\\pN" });
    expect(findAll([flag("anything")], [], policy)).toEqual([]);
  });

  it("are counted, and told by owner, nobody's last", () => {
    const found = findAll(
      [flag("a", { owner: "", kind: 0 }), flag("b", { kind: 0, owner: "web" }), flag("c", { kind: 0, owner: "web" })],
      [],
      undefined,
    );
    expect(counts(found)).toMatchObject({ kind: 3, owner: 1, unused: 0 });
    expect(byOwner(found).map((o) => [o.owner, o.found.length])).toEqual([
      ["web", 2],
      ["", 1],
    ]);
  });
});

describe("the query", () => {
  it("survives the address, and forgets what it does not know", () => {
    const q = { problem: "unused", owner: "web", unusedFor: 3600, constantFor: 7 * 86_400 } as const;
    expect(readQuery(writeQuery(q))).toEqual(q);
    expect(readQuery("problem=boat&unused=soon")).toEqual({ problem: "", owner: "", unusedFor: 0, constantFor: 0 });
  });

  it.each([
    ["90m", 5400],
    ["12h", 43_200],
    ["7d", 604_800],
    ["7w", 0],
    [null, 0],
  ])("reads %s as %d seconds", (text, s) => {
    expect(seconds(text)).toBe(s);
  });

  it("writes times short", () => {
    expect([short(5400), short(7200), short(86_400), short(0)]).toEqual(["90m", "2h", "1d", ""]);
  });
});
