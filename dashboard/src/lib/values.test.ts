import { describe, expect, it } from "vitest";
import { ValueType } from "../gen/tidegate/flag/v1/flag_pb";
import { readAttribute } from "./context";
import { jsonOf, readJson, readNumber, readValue } from "./values";

const beyond = "9007199254740993";
const digits =
  'Whole numbers beyond 9007199254740991 lose digits in JSON: write "9007199254740993" in quotes for a text.';

describe("no number is changed on the way", () => {
  it.each<[string, number | string]>([
    ["9007199254740991", 9007199254740991],
    ["-9007199254740991", -9007199254740991],
    ["1.5e300", 1.5e300],
    [" .5 ", 0.5],
    [beyond, "Whole numbers beyond 9007199254740991 lose digits."],
    ["-9007199254740992", "Whole numbers beyond 9007199254740991 lose digits."],
    ["1e400", "Is too large for a number."],
    ["many", "Must be a number."],
  ])("readNumber(%j)", (text, want) => {
    expect(readNumber(text)).toEqual(typeof want === "number" ? { number: want } : { problem: want });
  });

  it.each([
    [`{"account": ${beyond}}`, digits],
    [`[1, {"a": [-2, ${beyond}]}]`, digits],
    [beyond, digits],
    ['{"a": 1e400}', 'Is too large for a number: write "1e400" in quotes for a text.'],
    ['{"__proto__": {"a": 1}}', "__proto__ cannot be a name here: use tidegate apply."],
    ['[{"a": {"__proto__": 1}}]', "__proto__ cannot be a name here: use tidegate apply."],
  ])("readJson(%j)", (text, problem) => {
    expect(readJson(text)).toEqual({ problem });
    expect(readValue(ValueType.OBJECT, text)).toEqual({ problem });
  });

  it.each([`{"${beyond}": "${beyond}"}`, `["a \\" ${beyond}", "\\\\", 1]`, "[9007199254740991, 1e16, 1.5]"])(
    "%s is read as it is",
    (text) => expect(readJson(text)).toEqual({ json: JSON.parse(text) }),
  );

  it.each([ValueType.INTEGER, ValueType.DOUBLE, ValueType.OBJECT])("a value of type %d", (type) => {
    expect(readValue(type, beyond)).toHaveProperty("problem");
  });
});

it("a name that objects of JavaScript have is a name", () => {
  const read = readValue(ValueType.OBJECT, '{"constructor": 1, "toString": {"hasOwnProperty": 2}}');
  expect("value" in read && jsonOf(read.value)).toEqual({ constructor: 1, toString: { hasOwnProperty: 2 } });
});

it("a caller's number is what callers make of it", () => {
  expect(readAttribute(beyond)).toBe(Number(beyond));
});
