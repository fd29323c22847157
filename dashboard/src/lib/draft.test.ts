import { create, equals } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { FlagSchema } from "../gen/tidegate/flag/v1/flag_pb";
import { edited, isDirty, load, movedTexts, onTopOf, save, startDraft, withText } from "./draft";
import { flagShape } from "./merge";
import { toValue } from "./values";

const kind = { schema: FlagSchema, shape: flagShape };
const base = create(FlagSchema, {
  key: "k",
  owner: "web",
  variants: [{ name: "on", value: toValue({ a: [1, null] }) }],
  metadata: { runbook: "x" },
});
const fresh = startDraft(kind, base, 7n);

it("is dirty as long as something differs", () => {
  expect(isDirty(kind, fresh)).toBe(false);
  const other = edited(kind, fresh, (f) => {
    f.owner = "x";
  });
  expect([isDirty(kind, other), base.owner]).toEqual([true, "web"]);
  const back = edited(kind, other, (f) => {
    f.owner = "web";
  });
  expect(isDirty(kind, back)).toBe(false);
  expect(isDirty(kind, withText(fresh, "raw", "{"))).toBe(true);
  expect(withText(withText(fresh, "raw", "{"), "raw", undefined).texts).toEqual({});
});

it("survives being written down", () => {
  const d = withText(
    edited(kind, fresh, (f) => f.tags.push("t")),
    "raw",
    "{",
  );
  const again = load(kind, save(kind, d));
  expect(again && equals(FlagSchema, again.mine, d.mine) && equals(FlagSchema, again.base, d.base)).toBe(true);
  expect([again?.revision, again?.texts]).toEqual([7n, { raw: "{" }]);
  for (const text of [null, "", "{", '{"mine":1}', '{"base":{"no":1},"mine":{},"revision":"1","texts":{}}'])
    expect(load(kind, text)).toBeUndefined();
});

it("goes on top of what somebody else wrote", () => {
  const mine = edited(kind, fresh, (f) => {
    f.owner = "mine";
  });
  const theirs = edited(kind, fresh, (f) => {
    f.enabled = true;
    f.description = "theirs";
  }).mine;
  const { draft, overlaps } = onTopOf(kind, mine, theirs, 9n);
  expect(overlaps).toEqual([]);
  expect([draft.mine.owner, draft.mine.enabled, draft.mine.description]).toEqual(["mine", true, "theirs"]);
  expect([draft.revision, draft.base]).toEqual([9n, theirs]);
});

it("what cannot be read yet goes with its rule", () => {
  const flag = create(FlagSchema, { key: "k", rules: [{ id: "a" }, { id: "b" }] });
  const mine = withText(startDraft(kind, flag, 1n), "rules[1].expression", "{");
  const theirs = create(FlagSchema, { key: "k", rules: [{ id: "new" }, { id: "a" }, { id: "b" }] });
  expect(onTopOf(kind, mine, theirs, 2n).draft.texts).toEqual({ "rules[2].expression": "{" });
});

it("moves texts with their elements", () => {
  const texts = { "rules[0].a": "0", "rules[1].a": "1", "rules[2].b[0]": "2", raw: "r" };
  expect(movedTexts(texts, "rules", (i) => [2, undefined, 0][i])).toEqual({
    "rules[2].a": "0",
    "rules[0].b[0]": "2",
    raw: "r",
  });
});
