// @vitest-environment jsdom
import { beforeEach, describe, expect, it } from "vitest";
import {
  attributesOf,
  attributeText,
  contextText,
  forgetContext,
  readAttribute,
  readContext,
  rememberContext,
  rememberedContexts,
  rowsOf,
} from "./context";
import { belongTo } from "./tab-storage";

it.each([
  ["Canada", "Canada"],
  ["4.2.0", "4.2.0"],
  ["42", 42],
  ["true", true],
  ["[1, 2]", [1, 2]],
  ['"42"', "42"],
  ["{broken", "{broken"],
  ["", ""],
])("%j is read as %j, and written back", (text, value) => {
  expect(readAttribute(text)).toEqual(value);
  expect(readAttribute(attributeText(value))).toEqual(value);
});

it("rows without a name are left out", () => {
  expect(
    attributesOf([
      { name: " a ", text: "1" },
      { name: "", text: "x" },
    ]),
  ).toEqual({ a: 1 });
  expect(attributesOf(rowsOf({ a: "1", b: { c: 2 } }))).toEqual({ a: "1", b: { c: 2 } });
});

it("a context is read flat, or as requests have it", () => {
  const want = { context: { targetingKey: "u", attributes: { plan: "pro" } } };
  expect(readContext('{"targetingKey":"u","plan":"pro"}')).toEqual(want);
  expect(readContext('{"targetingKey":"u","attributes":{"plan":"pro"}}')).toEqual(want);
  expect(readContext(contextText(want.context))).toEqual(want);
  for (const bad of ["[]", "1", "{", '{"targetingKey":1}']) expect(readContext(bad)).toHaveProperty("problem");
});

describe("remembered contexts", () => {
  beforeEach(() => {
    localStorage.clear();
    belongTo("ada");
  });
  it("are kept by their names, the newest first", () => {
    const c = (name: string) => ({ name, targetingKey: name, attributes: {} });
    rememberContext(c("a"));
    rememberContext(c("b"));
    rememberContext(c("a"));
    expect(rememberedContexts().map((x) => x.name)).toEqual(["a", "b"]);
    expect(forgetContext("a").map((x) => x.name)).toEqual(["b"]);
    localStorage.setItem("tidegate-contexts/ada", "{broken");
    expect(rememberedContexts()).toEqual([]);
  });

  it("are of who remembered them", () => {
    rememberContext({ name: "a", targetingKey: "somebody@example.com", attributes: {} });
    belongTo("ben");
    expect(rememberedContexts()).toEqual([]);
    belongTo("ada");
    expect(rememberedContexts()).toHaveLength(1);
  });
});
