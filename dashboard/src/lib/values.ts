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
      const n = readNumber(text);
      if (n === undefined) return { problem: "Must be a number." };
      if (type === ValueType.INTEGER && (!Number.isInteger(n) || Math.abs(n) > maxInteger))
        return { problem: "Must be a whole number of at most 9007199254740991." };
      return { value: toValue(n) };
    }
    case ValueType.OBJECT:
      return readObject(text);
    default:
      return { problem: "The flag has no type yet." };
  }
}

// A number as in JSON; undefined where it is none.
export function readNumber(text: string): number | undefined {
  if (!/^\s*-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/.test(text)) return undefined;
  const n = Number(text);
  return Number.isFinite(n) ? n : undefined;
}

function readObject(text: string): { value: Value } | { problem: string } {
  const read = readJson(text);
  if ("problem" in read) return read;
  if (read.json === null || typeof read.json !== "object" || Array.isArray(read.json))
    return { problem: "Must be a JSON object, as {…}." };
  return { value: toValue(read.json) };
}

export function readJson(text: string): { json: JsonValue } | { problem: string } {
  try {
    return { json: JSON.parse(text) };
  } catch (failure) {
    return { problem: `Is not JSON: ${failure instanceof Error ? failure.message : "it cannot be read"}.` };
  }
}

// What somebody edits of a value: readValue reads it back.
export function editText(type: ValueType, value: Value | undefined): string {
  const json = jsonOf(value);
  if (type === ValueType.STRING && typeof json === "string") return json;
  return type === ValueType.OBJECT ? JSON.stringify(json, null, 2) : JSON.stringify(json);
}
