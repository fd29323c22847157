import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

// How two versions of something are compared and joined: as the server's diffs have it. Elements
// of lists that have a name are told apart by it, lists that are sets change by the element, all
// else that is no message changes as a whole.
export type Shape =
  | { kind: "whole" }
  | { kind: "set" }
  | { kind: "map" }
  | { kind: "fields"; fields: Record<string, Shape> }
  | { kind: "named"; name: string; of: Shape };

const whole: Shape = { kind: "whole" };
const set: Shape = { kind: "set" };

// A flag as toJson writes it with the names of the proto.
export const flagShape: Shape = {
  kind: "fields",
  fields: {
    tags: set,
    metadata: { kind: "map" },
    variants: { kind: "named", name: "name", of: { kind: "fields", fields: {} } },
    prerequisites: { kind: "named", name: "flag_key", of: { kind: "fields", fields: { variants: set } } },
    rules: { kind: "named", name: "id", of: { kind: "fields", fields: {} } },
  },
};

export const segmentShape: Shape = { kind: "fields", fields: { included: set, excluded: set } };

export type Side = "mine" | "theirs";

// What both changed, each in another way. Unset: it is not there.
export type Overlap = { path: string; base?: JsonValue; mine?: JsonValue; theirs?: JsonValue };

export type Change = { path: string; before: string; after: string };

const same = (a: JsonValue | undefined, b: JsonValue | undefined) => text(a) === text(b);

// Compares values whatever the order of their fields.
function text(v: JsonValue | undefined): string {
  return v === undefined ? "" : JSON.stringify(sorted(v));
}

function sorted(v: JsonValue): JsonValue {
  if (Array.isArray(v)) return v.map(sorted);
  if (v === null || typeof v !== "object") return v;
  return Object.fromEntries(
    Object.entries(v)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, e]) => [k, sorted(e)]),
  );
}

// Joins what was changed in two copies of base. Where both changed the same, `choices` decides by
// path; without a choice it is an overlap, and mine stands there.
export function merge(
  shape: Shape,
  base: JsonObject,
  mine: JsonObject,
  theirs: JsonObject,
  choices: ReadonlyMap<string, Side> = new Map(),
): { merged: JsonObject; overlaps: Overlap[] } {
  const m = new Merger(choices);
  const merged = m.value(shape, "", base, mine, theirs);
  return { merged: merged as JsonObject, overlaps: m.overlaps };
}

class Merger {
  readonly overlaps: Overlap[] = [];
  constructor(private choices: ReadonlyMap<string, Side>) {}

  value(shape: Shape, path: string, base?: JsonValue, mine?: JsonValue, theirs?: JsonValue): JsonValue | undefined {
    if (same(mine, theirs) || same(base, theirs)) return mine;
    if (same(base, mine)) return theirs;
    if (shape.kind === "fields" && isObject(mine) && isObject(theirs))
      return this.fields(shape.fields, path, isObject(base) ? base : {}, mine, theirs);
    if (shape.kind === "map" && (isObject(mine) || isObject(theirs)))
      return this.fields({}, path, object(base), object(mine), object(theirs), true);
    if (shape.kind === "set") return mergeSets(list(base), list(mine), list(theirs));
    if (shape.kind === "named") {
      const lists = [list(base), list(mine), list(theirs)].map((l) => byName(shape.name, l));
      const [b, m, t] = lists;
      if (b && m && t) return this.named(shape.of, path, b, m, t);
    }
    return this.overlap(path, base, mine, theirs);
  }

  private overlap(path: string, base?: JsonValue, mine?: JsonValue, theirs?: JsonValue) {
    const choice = this.choices.get(path);
    this.overlaps.push({ path, base, mine, theirs });
    return choice === "theirs" ? theirs : mine;
  }

  private fields(
    shapes: Record<string, Shape>,
    path: string,
    base: JsonObject,
    mine: JsonObject,
    theirs: JsonObject,
    bracket = false,
  ): JsonObject {
    const merged: JsonObject = {};
    for (const name of new Set([...Object.keys(base), ...Object.keys(mine), ...Object.keys(theirs)])) {
      const at = bracket ? `${path}[${name}]` : path ? `${path}.${name}` : name;
      const v = this.value(shapes[name] ?? whole, at, base[name], mine[name], theirs[name]);
      if (v !== undefined) merged[name] = v;
    }
    return merged;
  }

  private named(of: Shape, path: string, base: Named, mine: Named, theirs: Named): JsonValue[] {
    const kept = new Map<string, JsonValue>();
    for (const name of new Set([...base.keys(), ...mine.keys(), ...theirs.keys()])) {
      const v = this.value(of, `${path}[${name}]`, base.get(name), mine.get(name), theirs.get(name));
      if (v !== undefined) kept.set(name, v);
    }
    const order = this.order(path, [...base.keys()], [...mine.keys()], [...theirs.keys()]);
    return order.flatMap((name) => kept.get(name) ?? []);
  }

  // Who moved elements says what their order is; the other's new ones come after what they came
  // after there.
  private order(path: string, base: string[], mine: string[], theirs: string[]): string[] {
    const moved = (next: string[]) =>
      !same(
        base.filter((n) => next.includes(n)),
        next.filter((n) => base.includes(n)),
      );
    let theirsLeads = moved(theirs) && !moved(mine);
    if (moved(theirs) && moved(mine)) {
      const common = (l: string[]) => l.filter((n) => mine.includes(n) && theirs.includes(n));
      if (!same(common(mine), common(theirs))) theirsLeads = this.overlap(path, base, mine, theirs) === theirs;
    }
    const [first, second] = theirsLeads ? [theirs, mine] : [mine, theirs];
    const order = [...first];
    second.forEach((name, i) => {
      if (order.includes(name)) return;
      const after = second.slice(0, i).findLast((n) => order.includes(n));
      order.splice(after === undefined ? 0 : order.indexOf(after) + 1, 0, name);
    });
    return order;
  }
}

// What differs, by the same paths. Values are JSON; empty: not there.
export function changes(shape: Shape, before: JsonObject, after: JsonObject): Change[] {
  const all: Change[] = [];
  const add = (path: string, b: JsonValue | undefined, a: JsonValue | undefined) =>
    all.push({ path, before: shown(b), after: shown(a) });
  const walk = (s: Shape, path: string, b: JsonValue | undefined, a: JsonValue | undefined) => {
    if (same(b, a)) return;
    if ((s.kind === "fields" && isObject(b) && isObject(a)) || s.kind === "map") {
      const [x, y] = [object(b), object(a)];
      for (const name of new Set([...Object.keys(x), ...Object.keys(y)])) {
        const at = s.kind === "map" ? `${path}[${name}]` : path ? `${path}.${name}` : name;
        walk(s.kind === "fields" ? (s.fields[name] ?? whole) : whole, at, x[name], y[name]);
      }
      return;
    }
    if (s.kind === "set") {
      const [x, y] = [list(b), list(a)];
      const [inX, inY] = [new Set(x), new Set(y)];
      for (const v of x) if (!inY.has(v)) add(`${path}[${v}]`, v, undefined);
      for (const v of y) if (!inX.has(v)) add(`${path}[${v}]`, undefined, v);
      return;
    }
    const [x, y] = s.kind === "named" ? [byName(s.name, list(b)), byName(s.name, list(a))] : [];
    if (s.kind !== "named" || !x || !y) {
      add(path, b, a);
      return;
    }
    for (const name of new Set([...x.keys(), ...y.keys()])) walk(s.of, `${path}[${name}]`, x.get(name), y.get(name));
    const stay = [...x.keys()].filter((n) => y.has(n));
    const expected = [...stay, ...[...y.keys()].filter((n) => !x.has(n))];
    if (!same(expected, [...y.keys()])) add(path, [...x.keys()], [...y.keys()]);
  };
  walk(shape, "", before, after);
  return all;
}

function shown(v: JsonValue | undefined): string {
  return v === undefined ? "" : JSON.stringify(v);
}

function isObject(v: JsonValue | undefined): v is JsonObject {
  return typeof v === "object" && v !== null && !Array.isArray(v);
}

const object = (v: JsonValue | undefined): JsonObject => (isObject(v) ? v : {});
const list = (v: JsonValue | undefined): JsonValue[] => (Array.isArray(v) ? v : []);

type Named = Map<string, JsonValue>;

// Undefined where a name is missing, or not unique.
function byName(name: string, l: JsonValue[]): Named | undefined {
  const all: Named = new Map();
  for (const e of l) {
    const n = isObject(e) ? e[name] : undefined;
    if (typeof n !== "string" || n === "" || all.has(n)) return undefined;
    all.set(n, e);
  }
  return all;
}

function mergeSets(base: JsonValue[], mine: JsonValue[], theirs: JsonValue[]): JsonValue[] {
  const [inBase, inMine, inTheirs] = [new Set(base), new Set(mine), new Set(theirs)];
  return [
    ...mine.filter((v) => inTheirs.has(v) || !inBase.has(v)),
    ...theirs.filter((v) => !inMine.has(v) && !inBase.has(v)),
  ];
}
