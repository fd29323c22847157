import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { ValueType } from "../gen/tidegate/flag/v1/flag_pb";

export function toValue(json: JsonValue): Value {
  return fromJson(ValueSchema, json);
}

// What is not there is null: what JSON has for it.
export function jsonOf(value: Value | undefined): JsonValue {
  return value?.kind.case ? toJson(ValueSchema, value) : null;
}

// A value as JSON on one line.
export function valueText(value: Value | undefined): string {
  return JSON.stringify(jsonOf(value));
}

// Tells values of any kind apart, also those with whole numbers of 64 bits, which JSON cannot write.
export function fingerprint(v: unknown): string {
  return JSON.stringify(v, (_, part) => (typeof part === "bigint" ? part.toString() : part));
}

const maxInteger = 2 ** 53 - 1;

// What is wrong with a number, as it is written: every reader of JSON keeps the others.
function lost(text: string): "large" | "digits" | undefined {
  const n = Number(text);
  if (!Number.isFinite(n)) return "large";
  return /^\s*-?\d+\s*$/.test(text) && Math.abs(n) > maxInteger ? "digits" : undefined;
}

// Where a text could stand in the number's place.
export function numberProblem(text: string): string | undefined {
  const what = lost(text);
  if (what === "large") return `Is too large for a number: write "${text}" in quotes for a text.`;
  if (what === "digits")
    return `Whole numbers beyond ${maxInteger} lose digits in JSON: write "${text}" in quotes for a text.`;
  return undefined;
}

// A name that messages cannot keep here: JavaScript has it for something else.
export const lostName = "__proto__";
export const lostNameProblem = `${lostName} cannot be a name here: use tidegate apply.`;

// Reads what somebody typed as a value of a flag's type. A problem says what would be right.
export function readValue(type: ValueType, text: string): { value: Value } | { problem: string } {
  switch (type) {
    case ValueType.STRING:
      return { value: toValue(text) };
    case ValueType.BOOLEAN:
      if (text === "true" || text === "false") return { value: toValue(text === "true") };
      return { problem: "Must be true or false." };
    case ValueType.INTEGER:
    case ValueType.DOUBLE: {
      const read = readNumber(text);
      if ("problem" in read) return read;
      if (type === ValueType.INTEGER && (!Number.isInteger(read.number) || Math.abs(read.number) > maxInteger))
        return { problem: `Must be a whole number of at most ${maxInteger}.` };
      return { value: toValue(read.number) };
    }
    case ValueType.OBJECT:
      return readObject(text);
    default:
      return { problem: "The flag has no type yet." };
  }
}

// A number as in JSON, or shorter: .5, 1.
export function readNumber(text: string): { number: number } | { problem: string } {
  if (!/^\s*-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/.test(text)) return { problem: "Must be a number." };
  const what = lost(text);
  if (what === "large") return { problem: "Is too large for a number." };
  if (what === "digits") return { problem: `Whole numbers beyond ${maxInteger} lose digits.` };
  return { number: Number(text) };
}

function readObject(text: string): { value: Value } | { problem: string } {
  const read = readJson(text);
  if ("problem" in read) return read;
  if (read.json === null || typeof read.json !== "object" || Array.isArray(read.json))
    return { problem: "Must be a JSON object, as {…}." };
  return { value: toValue(read.json) };
}

export function readJson(text: string): { json: JsonValue } | { problem: string } {
  const read = parseJson(text);
  if ("problem" in read) return read;
  // What is read is another number, or nothing, already: the text is looked at.
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|-?\d[-+.\deE]*/g)) {
    const problem = token.startsWith('"') ? undefined : numberProblem(token);
    if (problem) return { problem };
  }
  return hasLostName(read.json) ? { problem: lostNameProblem } : read;
}

// JSON as a caller's context has it: its numbers are what callers make of them.
export function parseJson(text: string): { json: JsonValue } | { problem: string } {
  try {
    return { json: JSON.parse(text) };
  } catch (failure) {
    return { problem: `Is not JSON: ${failure instanceof Error ? failure.message : "it cannot be read"}.` };
  }
}

function hasLostName(json: JsonValue): boolean {
  if (json === null || typeof json !== "object") return false;
  return Object.hasOwn(json, lostName) || Object.values(json).some(hasLostName);
}

// What somebody edits of a value: readValue reads it back.
export function editText(type: ValueType, value: Value | undefined): string {
  const json = jsonOf(value);
  if (type === ValueType.STRING && typeof json === "string") return json;
  return type === ValueType.OBJECT ? JSON.stringify(json, null, 2) : JSON.stringify(json);
}
