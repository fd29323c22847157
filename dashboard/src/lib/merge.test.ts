import type { JsonObject } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { changes, flagShape, merge, segmentShape } from "./merge";

const rule = (id: string, variant = "on", value = "x") => ({
  id,
  clauses: [{ attribute: "a", operator: "OPERATOR_IN", values: [value] }],
  outcome: { variant },
});
const base: JsonObject = {
  key: "k",
  owner: "web",
  enabled: true,
  tags: ["a", "b"],
  variants: [
    { name: "on", value: true },
    { name: "off", value: false },
  ],
  rules: [rule("one"), rule("two"), rule("three")],
};
const ids = (f: JsonObject) => (f.rules as { id: string }[]).map((r) => r.id);
const join = (mine: JsonObject, theirs: JsonObject, choices?: Map<string, "mine" | "theirs">) =>
  merge(flagShape, base, { ...base, ...mine }, { ...base, ...theirs }, choices);

describe("merge", () => {
  it("keeps what each changed, where they do not overlap", () => {
    const { merged, overlaps } = join(
      { owner: "payments", tags: ["b", "c"], rules: [rule("one", "off"), rule("two"), rule("three")] },
      { enabled: false, tags: ["a", "b", "d"], rules: [rule("one", "on", "y"), rule("two"), rule("three")] },
    );
    expect(overlaps).toEqual([]);
    expect(merged).toEqual({
      ...base,
      owner: "payments",
      enabled: false,
      tags: ["b", "c", "d"],
      rules: [rule("one", "off", "y"), rule("two"), rule("three")],
    });
  });

  it("the same change twice is one", () => {
    expect(join({ owner: "x" }, { owner: "x" })).toEqual({ merged: { ...base, owner: "x" }, overlaps: [] });
  });

  it("tells what both changed, and does as one chooses", () => {
    const [mine, theirs] = [{ owner: "mine" }, { owner: "theirs" }];
    const overlap = { path: "owner", base: "web", mine: "mine", theirs: "theirs" };
    expect(join(mine, theirs)).toEqual({ merged: { ...base, owner: "mine" }, overlaps: [overlap] });
    expect(join(mine, theirs, new Map([["owner", "theirs"]])).merged.owner).toBe("theirs");
  });

  it("tells both where one removed what the other changed", () => {
    const mine = { rules: [rule("one"), rule("three")] };
    const theirs = { rules: [rule("one"), rule("two", "off"), rule("three")] };
    const { merged, overlaps } = join(mine, theirs);
    expect(overlaps.map((o) => [o.path, o.mine])).toEqual([["rules[two]", undefined]]);
    expect(ids(merged)).toEqual(["one", "three"]);
    expect(ids(join(mine, theirs, new Map([["rules[two]", "theirs"]])).merged)).toEqual(["one", "two", "three"]);
  });

  it("new elements stand after what they stood after", () => {
    const { merged, overlaps } = join(
      { rules: [rule("mine"), rule("one"), rule("two"), rule("three")] },
      { rules: [rule("one"), rule("theirs"), rule("two"), rule("three"), rule("last")] },
    );
    expect(overlaps).toEqual([]);
    expect(ids(merged)).toEqual(["mine", "one", "theirs", "two", "three", "last"]);
  });

  it("who moved elements says their order", () => {
    const moved = { rules: [rule("three"), rule("one"), rule("two")] };
    const added = { rules: [rule("one"), rule("new"), rule("two"), rule("three")] };
    expect(ids(join(moved, added).merged)).toEqual(["three", "one", "new", "two"]);
    expect(ids(join(added, moved).merged)).toEqual(["three", "one", "new", "two"]);
    const other = { rules: [rule("two"), rule("one"), rule("three")] };
    expect(join(moved, other).overlaps.map((o) => o.path)).toEqual(["rules"]);
    expect(ids(join(moved, other, new Map([["rules", "theirs"]])).merged)).toEqual(["two", "one", "three"]);
  });

  it("names the field of an element that both changed", () => {
    const of = (variant: string) => ({ rules: [rule("one", variant), rule("two"), rule("three")] });
    expect(join(of("off"), of("other")).overlaps.map((o) => o.path)).toEqual(["rules[one].outcome"]);
  });

  it("joins metadata by its fields", () => {
    const { merged, overlaps } = join({ metadata: { a: 1 } }, { metadata: { b: 2 } });
    expect([merged.metadata, overlaps]).toEqual([{ a: 1, b: 2 }, []]);
  });

  it("joins the lists of segments", () => {
    const s = { key: "s", included: ["1", "2"] };
    const { merged } = merge(segmentShape, s, { ...s, included: ["2", "3"] }, { ...s, included: ["1", "2", "4"] });
    expect(merged.included).toEqual(["2", "3", "4"]);
  });
});

describe("changes", () => {
  it("names what differs as the server does", () => {
    const after = {
      ...base,
      owner: "x",
      tags: ["b", "c"],
      variants: [
        { name: "on", value: true },
        { name: "off", value: 0 },
      ],
      rules: [rule("two"), rule("one"), rule("new")],
    };
    expect(changes(flagShape, base, after).map((c) => [c.path, c.before, c.after])).toEqual([
      ["owner", '"web"', '"x"'],
      ["tags[a]", '"a"', ""],
      ["tags[c]", "", '"c"'],
      ["variants[off].value", "false", "0"],
      ["rules[three]", JSON.stringify(rule("three")), ""],
      ["rules[new]", "", JSON.stringify(rule("new"))],
      ["rules", '["one","two","three"]', '["two","one","new"]'],
    ]);
    expect(changes(flagShape, base, structuredClone(base))).toEqual([]);
  });
});
