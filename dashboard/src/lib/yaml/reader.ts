import { fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { isAlias, isMap, isNode, isPair, isScalar, isSeq, type Node, type Pair, type Scalar } from "yaml";
import { lostName, lostNameProblem, numberProblem } from "../values";

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

  // What is written otherwise than as a value is refused, as it is in files.
  private unusual(node: unknown, range: Range): boolean {
    if (isAlias(node)) this.fail(range, `Aliases (*${node.source}) are not read: write the value out.`);
    else if (isNode(node) && (node as Scalar).anchor)
      this.fail(range, `Anchors (&${(node as Scalar).anchor}) are not read: remove it.`);
    else if (isNode(node) && node.tag)
      this.fail(range, `Tags (${node.tag}) are not read: remove it, and put texts in quotes.`);
    else return false;
    return true;
  }

  // The entries of a mapping; none, and a problem, where it is something else.
  entries(node: Node | null, range: Range, what: string): Entry[] {
    if (this.unusual(node, range)) return [];
    if (!isMap(node)) {
      this.fail(range, `Must be ${what}.`);
      return [];
    }
    const seen = new Set<string>();
    return node.items.flatMap((pair: Pair) => {
      if (!isPair(pair) || !isScalar(pair.key)) {
        this.fail(range, "Names must be texts.");
        return [];
      }
      const key = rangeOf(pair.key, range);
      if (this.unusual(pair.key, key)) return [];
      const value = pair.value as Node | null;
      const name = textOf(pair.key);
      if (name === "<<" && isPlain(pair.key)) this.fail(key, "Merge keys are not read: write the fields out.");
      else if (seen.has(name)) this.fail(key, `${name} is given twice: keep one of the two.`);
      seen.add(name);
      return [{ name, value, key, at: value?.range ? rangeOf(value, key) : key }];
    });
  }

  // The elements of a list of a flag's own; those of a value may be nothing.
  items(node: Node | null, range: Range): { value: Node; at: Range }[] {
    const items = this.elements(node, range);
    for (const i of items)
      if (isNothing(i.value)) this.fail(i.at, "Is an empty element: give it a value, or remove it.");
    return items;
  }

  private elements(node: Node | null, range: Range): { value: Node; at: Range }[] {
    if (this.unusual(node, range)) return [];
    if (!isSeq(node)) {
      this.fail(range, "Must be a list: write “- ” before each element, or put them in [ ].");
      return [];
    }
    return node.items.map((item) => ({ value: item as Node, at: rangeOf(item as Node, range) }));
  }

  // A name or a text, as it is written: on, true, 1.
  text(node: Node | null, range: Range): string {
    if (this.unusual(node, range)) return "";
    if (isScalar(node)) return textOf(node);
    this.fail(range, "Must be a text.");
    return "";
  }

  texts(node: Node | null, range: Range): string[] {
    return this.items(node, range).map((i) => this.text(i.value, i.at));
  }

  boolean(node: Node | null, range: Range): boolean {
    if (this.unusual(node, range)) return false;
    const v = isPlain(node) ? wordOf(node) : undefined;
    if (typeof v !== "boolean") this.fail(range, "Must be true or false.");
    return v === true;
  }

  whole(node: Node | null, range: Range, least: number, most: number): number {
    if (this.unusual(node, range)) return least;
    const v = isPlain(node) && /^(0|[1-9][0-9]*)$/.test(textOf(node)) ? Number(textOf(node)) : -1;
    if (v >= least && v <= most) return v;
    this.fail(range, `Must be a whole number from ${least} to ${most}.`);
    return least;
  }

  value(node: Node | null, range: Range, path: string): Value {
    return fromJson(ValueSchema, this.json(node, range, path));
  }

  json(node: Node | null, range: Range, path: string): JsonValue {
    this.place(path, range);
    if (this.unusual(node, range)) return null;
    if (isMap(node)) {
      const all: JsonObject = {};
      for (const e of this.entries(node, range, "a mapping")) {
        if (e.name === lostName) this.fail(e.key, lostNameProblem);
        else all[e.name] = this.json(e.value, e.at, `${path}.${e.name}`);
      }
      return all;
    }
    if (isSeq(node)) return this.elements(node, range).map((i, n) => this.json(i.value, i.at, `${path}[${n}]`));
    return isScalar(node) ? this.scalar(node, range) : null;
  }

  private scalar(node: Scalar, range: Range): JsonValue {
    const text = textOf(node);
    if (!isPlain(node)) return text;
    const word = wordOf(node);
    if (word !== undefined) return word;
    if (jsonNumber.test(text)) {
      const problem = numberProblem(text);
      if (problem) this.fail(range, problem);
      return problem ? 0 : Number(text) + 0;
    }
    if (typeof node.value === "number" || otherNumber.test(text.replaceAll("_", "")))
      this.fail(range, `Readers of YAML disagree on ${text}: write a number as in JSON, or "${text}" for a text.`);
    return text;
  }
}

const jsonNumber = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$/;
// What some reader of YAML takes for a number, without the underscores that it may have.
const otherNumber = /^[-+]?(0[bB][01]+|0[oO][0-7]+|0[xX][0-9a-fA-F]+|(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?)$/;

const isPlain = (node: Node | null): node is Scalar => isScalar(node) && node.type === "PLAIN";
const textOf = (node: Scalar) => node.source ?? String(node.value ?? "");

// null, true or false, as files write them.
function wordOf(node: Scalar): null | boolean | undefined {
  const text = textOf(node);
  if (/^(null|Null|NULL|~|)$/.test(text)) return null;
  return /^(true|True|TRUE)$/.test(text) ? true : /^(false|False|FALSE)$/.test(text) ? false : undefined;
}

export function isNothing(node: Node | null): boolean {
  return node === null || (isPlain(node) && wordOf(node) === null);
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
