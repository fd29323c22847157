import {
  clone,
  type DescMessage,
  equals,
  fromJson,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  toJson,
} from "@bufbuild/protobuf";
import { merge, type Overlap, type Shape, type Side } from "./merge";

// What somebody edits, and what it was based on.
export type Draft<S extends DescMessage> = {
  base: MessageShape<S>;
  revision: bigint;
  mine: MessageShape<S>;
  // What was typed that cannot be read yet, by the path of its field.
  texts: Readonly<Record<string, string>>;
};

export type Kind<S extends DescMessage> = { schema: S; shape: Shape };

export function startDraft<S extends DescMessage>(kind: Kind<S>, base: MessageShape<S>, revision: bigint): Draft<S> {
  return { base, revision, mine: clone(kind.schema, base), texts: {} };
}

export function isDirty<S extends DescMessage>(kind: Kind<S>, d: Draft<S>): boolean {
  return Object.keys(d.texts).length > 0 || !equals(kind.schema, d.base, d.mine);
}

export function edited<S extends DescMessage>(kind: Kind<S>, d: Draft<S>, how: (m: MessageShape<S>) => void): Draft<S> {
  const mine = clone(kind.schema, d.mine);
  how(mine);
  return { ...d, mine };
}

export function withText<S extends DescMessage>(d: Draft<S>, path: string, text: string | undefined): Draft<S> {
  if (text === d.texts[path]) return d;
  const { [path]: _, ...others } = d.texts;
  return { ...d, texts: text === undefined ? others : { ...others, [path]: text } };
}

// Texts of a list's elements, after these have moved: `to[i]` is where the element i is now;
// undefined: it is gone.
export function movedTexts(
  texts: Readonly<Record<string, string>>,
  list: string,
  to: (i: number) => number | undefined,
): Record<string, string> {
  const moved: Record<string, string> = {};
  for (const [path, text] of Object.entries(texts)) {
    const rest = path.startsWith(`${list}[`) ? /^\[(\d+)\](.*)$/s.exec(path.slice(list.length)) : null;
    if (!rest) {
      moved[path] = text;
      continue;
    }
    const i = to(Number(rest[1]));
    if (i !== undefined) moved[`${list}[${i}]${rest[2]}`] = text;
  }
  return moved;
}

// A message as the merge takes it. What is false by default is there all the same.
export function plainOf<S extends DescMessage>(kind: Kind<S>, m: MessageShape<S>): JsonObject {
  const json = toJson(kind.schema, m, { useProtoFieldName: true }) as JsonObject;
  if (kind.schema.fields.some((f) => f.name === "enabled")) json.enabled ??= false;
  return json;
}

// The draft on top of a newer version.
export function onTopOf<S extends DescMessage>(
  kind: Kind<S>,
  d: Draft<S>,
  newer: MessageShape<S>,
  revision: bigint,
  choices?: ReadonlyMap<string, Side>,
): { draft: Draft<S>; overlaps: Overlap[] } {
  const [base, mine, theirs] = [d.base, d.mine, newer].map((m) => plainOf(kind, m)) as [
    JsonObject,
    JsonObject,
    JsonObject,
  ];
  const { merged, overlaps } = merge(kind.shape, base, mine, theirs, choices);
  return {
    draft: { base: newer, revision, mine: fromJson(kind.schema, merged), texts: followed(kind, d.texts, mine, merged) },
    overlaps,
  };
}

// Texts follow the elements that they are of, by their names.
function followed<S extends DescMessage>(
  kind: Kind<S>,
  texts: Readonly<Record<string, string>>,
  before: JsonObject,
  after: JsonObject,
): Record<string, string> {
  let moved = { ...texts };
  if (kind.shape.kind !== "fields") return moved;
  for (const [list, shape] of Object.entries(kind.shape.fields)) {
    if (shape.kind !== "named") continue;
    const [was, is] = [before[list], after[list]].map((l) => ((l ?? []) as JsonObject[]).map((e) => e[shape.name])) as [
      JsonValue[],
      JsonValue[],
    ];
    moved = movedTexts(moved, list, (i) => {
      const at = is.indexOf(was[i] ?? null);
      return at < 0 ? undefined : at;
    });
  }
  return moved;
}

export function save<S extends DescMessage>(kind: Kind<S>, d: Draft<S>): string {
  const [base, mine] = [toJson(kind.schema, d.base), toJson(kind.schema, d.mine)];
  return JSON.stringify({ base, mine, revision: d.revision.toString(), texts: d.texts });
}

// What save wrote; undefined where it is something else, such as what another version wrote.
export function load<S extends DescMessage>(kind: Kind<S>, text: string | null): Draft<S> | undefined {
  if (!text) return undefined;
  try {
    const kept = JSON.parse(text) as {
      base: JsonValue;
      mine: JsonValue;
      revision: string;
      texts: Record<string, string>;
    };
    return {
      base: fromJson(kind.schema, kept.base),
      mine: fromJson(kind.schema, kept.mine),
      revision: BigInt(kept.revision),
      texts: kept.texts,
    };
  } catch {
    return undefined;
  }
}
