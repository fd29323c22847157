import { fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { isMap, isPair, isScalar, isSeq, type Node, type Pair } from "yaml";

// Where something stands in a text.
export type Range = [from: number, to: number];
export type TextProblem = { range: Range; message: string };

export type Entry = { name: string; value: Node | null; key: Range; at: Range };

// Reader turns nodes of YAML into values, and collects what is wrong, and where each field of the
// message is written.
export class Reader {
  readonly problems: TextProblem[] = [];
  readonly places = new Map<string, Range>();

  fail(range: Range, message: string) {
    this.problems.push({ range, message });
  }

  place(path: string, range: Range) {
    if (path) this.places.set(path, range);
  }

  // The entries of a mapping; none, and a problem, where it is something else.
  entries(node: Node | null, range: Range, what: string): Entry[] {
    if (!isMap(node)) {
      this.fail(range, `Must be ${what}.`);
      return [];
    }
    return node.items.flatMap((pair: Pair) => {
      if (!isPair(pair) || !isScalar(pair.key)) {
        this.fail(range, "Names must be texts.");
        return [];
      }
      const key = rangeOf(pair.key, range);
      const value = pair.value as Node | null;
      // What is written in short, such as on: is a name, not a value.
      const name = pair.key.source ?? String(pair.key.value);
      return [{ name, value, key, at: value?.range ? rangeOf(value, key) : key }];
    });
  }

  items(node: Node | null, range: Range): { value: Node; at: Range }[] {
    if (!isSeq(node)) {
      this.fail(range, "Must be a list: write “- ” before each element, or put them in [ ].");
      return [];
    }
    return node.items.map((item) => ({ value: item as Node, at: rangeOf(item as Node, range) }));
  }

  text(node: Node | null, range: Range): string {
    if (!isScalar(node)) {
      this.fail(range, "Must be a text.");
      return "";
    }
    const v = this.scalar(node);
    if (typeof v === "string") return v;
    // Names of variants and the like: on, true, 1.
    return node.source ?? String(v);
  }

  texts(node: Node | null, range: Range): string[] {
    return this.items(node, range).map((i) => this.text(i.value, i.at));
  }

  boolean(node: Node | null, range: Range): boolean {
    const v = isScalar(node) ? this.scalar(node) : undefined;
    if (typeof v !== "boolean") this.fail(range, "Must be true or false.");
    return v === true;
  }

  whole(node: Node | null, range: Range, most: number): number {
    const v = isScalar(node) ? this.scalar(node) : undefined;
    if (typeof v === "number" && Number.isInteger(v) && v >= 0 && v <= most) return v;
    this.fail(range, `Must be a whole number from 0 to ${most}.`);
    return 0;
  }

  value(node: Node | null, range: Range, path: string): Value {
    return fromJson(ValueSchema, this.json(node, range, path));
  }

  json(node: Node | null, range: Range, path: string): JsonValue {
    this.place(path, range);
    if (isMap(node)) {
      const all: JsonObject = {};
      for (const e of this.entries(node, range, "a mapping"))
        all[e.name] = this.json(e.value, e.at, `${path}.${e.name}`);
      return all;
    }
    if (isSeq(node)) return this.items(node, range).map((i, n) => this.json(i.value, i.at, `${path}[${n}]`));
    if (isScalar(node)) return this.scalar(node, range);
    if (node) this.fail(range, "Anchors and aliases are not read here.");
    return null;
  }

  private scalar(node: Node, range?: Range): JsonValue {
    if (!isScalar(node)) return null;
    const source = node.source ?? "";
    if (node.type !== "PLAIN") return String(node.value ?? "");
    if (/^(null|Null|NULL|~|)$/.test(source)) return null;
    if (/^(true|True|TRUE)$/.test(source)) return true;
    if (/^(false|False|FALSE)$/.test(source)) return false;
    if (/^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$/.test(source)) {
      const n = Number(source);
      if (Number.isFinite(n)) return n === 0 ? 0 : n;
      if (range) this.fail(range, `Is too large for a number: write "${source}" in quotes for a text.`);
      return 0;
    }
    if (typeof node.value === "number" && range)
      this.fail(range, `Readers of YAML disagree on ${source}: write a number as in JSON, or "${source}" for a text.`);
    return source;
  }
}

export function rangeOf(node: Node | null | undefined, otherwise: Range): Range {
  const r = node?.range;
  return r ? [r[0], r[1]] : otherwise;
}

// The one of `known` that somebody meant, if it is near.
export function didYouMean(name: string, known: string[]): string {
  const near = known.find((k) => k.toLowerCase() === name.toLowerCase() || distance(k, name) <= 2);
  return near ? `did you mean ${near}?` : `there are ${known.join(", ")}.`;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(
        (row[j] ?? 0) + 1,
        (next[j - 1] ?? 0) + 1,
        (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
    row = next;
  }
  return row[b.length] ?? 0;
}
