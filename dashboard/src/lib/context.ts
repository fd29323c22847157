import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { whose } from "./tab-storage";
import { parseJson } from "./values";

// An evaluation context, as somebody types it.
export type Context = { name: string; targetingKey: string; attributes: JsonObject };

export type Attribute = { name: string; text: string };

// An attribute's value: JSON where it is some, else a text.
export function readAttribute(text: string): JsonValue {
  const t = text.trim();
  if (/^(true|false|null|-?\d|\[|\{|")/.test(t)) {
    const read = parseJson(t);
    if (!("problem" in read)) return read.json;
  }
  return text;
}

export function attributeText(value: JsonValue): string {
  return typeof value === "string" && readAttribute(value) === value ? value : JSON.stringify(value);
}

export function rowsOf(attributes: JsonObject): Attribute[] {
  return Object.entries(attributes).map(([name, value]) => ({ name, text: attributeText(value) }));
}

export function attributesOf(rows: Attribute[]): JsonObject {
  return Object.fromEntries(
    rows.filter((r) => r.name.trim() !== "").map((r) => [r.name.trim(), readAttribute(r.text)]),
  );
}

// A context as JSON, as evaluation takes it: with its targeting key inside, or beside attributes.
export function readContext(text: string): { context: Omit<Context, "name"> } | { problem: string } {
  const read = parseJson(text);
  if ("problem" in read) return read;
  const json = read.json;
  if (json === null || typeof json !== "object" || Array.isArray(json))
    return { problem: "Must be a JSON object, as {…}." };
  const { targetingKey = "", attributes, ...rest } = json;
  if (typeof targetingKey !== "string") return { problem: "targetingKey must be a text." };
  const nested =
    attributes !== null && typeof attributes === "object" && !Array.isArray(attributes) ? attributes : undefined;
  return { context: { targetingKey, attributes: { ...rest, ...nested } } };
}

export function contextText(c: Omit<Context, "name">): string {
  return JSON.stringify({ targetingKey: c.targetingKey, ...c.attributes }, null, 2);
}

// They name people: each has their own.
const where = () => `tidegate-contexts/${whose()}`;
const most = 30;

export function rememberedContexts(): Context[] {
  try {
    const all = JSON.parse(localStorage.getItem(where()) ?? "[]");
    return Array.isArray(all)
      ? all.filter((c) => typeof c?.name === "string" && typeof c?.attributes === "object")
      : [];
  } catch {
    return [];
  }
}

export function rememberContext(c: Context): Context[] {
  return store([c, ...rememberedContexts().filter((o) => o.name !== c.name)].slice(0, most));
}

export function forgetContext(name: string): Context[] {
  return store(rememberedContexts().filter((o) => o.name !== name));
}

function store(all: Context[]): Context[] {
  localStorage.setItem(where(), JSON.stringify(all));
  return all;
}
