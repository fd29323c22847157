import { clone, create, fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import {
  BucketingVersion,
  type Clause,
  ClauseSchema,
  Operator,
  type Outcome,
  OutcomeSchema,
  WeightedVariantSchema,
} from "../../gen/tidegate/flag/v1/flag_pb";
import type { Change } from "../merge";
import { jsonOf, toValue } from "../values";
import { jsonIn } from "./lines";

/* The server tells of a split or a condition field by field, and people think of it as one. What it
   was follows from what it is and the changes; undefined where they do not fit what it is, as of
   another version, or where that much is not told. `changes` have their paths from there. */

export function outcomes(is: Outcome | undefined, changes: Change[]): { was: Outcome; is: Outcome } | undefined {
  if (changes.every((c) => /^[a-z]+$/.test(c.path))) return kinds(changes);
  if (is?.kind.case !== "split") return undefined;
  const was = clone(OutcomeSchema, is);
  const split = was.kind.case === "split" ? was.kind.value : undefined;
  return split && changes.every((c) => undoSplit(split, c)) ? { was, is } : undefined;
}

// One kind took the place of another, or a variant that of another: that is all there is to it.
function kinds(changes: Change[]): { was: Outcome; is: Outcome } | undefined {
  const [was, is] = (["before", "after"] as const).map((side) => {
    const there = changes.filter((c) => c[side] !== "");
    const values = there.map((c) => [c.path, jsonIn(c[side])] as const);
    if (values.length !== 1 || values[0]?.[1] === undefined) return undefined; // the other is not told
    return read(() => fromJson(OutcomeSchema, Object.fromEntries(values) as JsonObject));
  });
  return was && is && { was, is };
}

type Split = Extract<Outcome["kind"], { case: "split" }>["value"];

function undoSplit(split: Split, c: Change): boolean {
  const [, name = "", weight] = /^split\.variants\[(.*)\](\.weight)?$/s.exec(c.path) ?? [];
  const at = split.variants.findIndex((v) => v.variant === name);
  const found = split.variants[at];
  if (weight) {
    if (!found || String(found.weight) !== c.after) return false;
    found.weight = Number(c.before || 0);
    return true;
  }
  if (c.path.endsWith("]")) {
    if (c.before === "" && found) {
      split.variants.splice(at, 1);
      return true;
    }
    const was = c.after === "" ? read(() => fromJson(WeightedVariantSchema, jsonIn(c.before) ?? null)) : undefined;
    if (was) split.variants.push(was);
    return was !== undefined;
  }
  switch (c.path) {
    case "split.bucket_by":
      if ((c.after && jsonIn(c.after)) !== split.bucketBy) return false;
      split.bucketBy = String(jsonIn(c.before) ?? "");
      return true;
    case "split.salt":
      split.salt = c.before === "" ? undefined : String(jsonIn(c.before));
      return true;
    case "split.bucketing_version":
      split.bucketingVersion = BucketingVersion[String(jsonIn(c.before) ?? "") as "BUCKETING_VERSION_2"] ?? 0;
      return true;
  }
  return false; // another order: what was first is not told by the words of a split
}

// Paths are [0].values and the like.
export function clausesBefore(is: Clause[], changes: Change[]): Clause[] | undefined {
  const was = is.map((c) => clone(ClauseSchema, c));
  let kept = was.length;
  for (const c of changes) {
    const [, place = "", name] = /^\[(\d+)\](?:\.([a-z]+))?$/.exec(c.path) ?? [];
    const at = Number(place);
    if (place === "") return undefined;
    if (name) {
      const one = at < is.length ? was[at] : undefined;
      if (!one || !undoClause(one, name, c)) return undefined;
    } else if (c.before === "") kept = Math.min(kept, at);
    else {
      const gone = read(() => fromJson(ClauseSchema, jsonIn(c.before) ?? null));
      if (!gone || at !== was.length) return undefined;
      was.push(gone);
      kept = was.length;
    }
  }
  return was.slice(0, kept);
}

function undoClause(clause: Clause, name: string, c: Change): boolean {
  const [was, is] = [jsonIn(c.before), jsonIn(c.after)];
  switch (name) {
    case "attribute":
      if ((is ?? "") !== clause.attribute) return false;
      clause.attribute = String(was ?? "");
      return true;
    case "operator": {
      if (String(is ?? "") !== `OPERATOR_${Operator[clause.operator]}`) return false;
      const operator = Operator[String(was ?? "").replace(/^OPERATOR_/, "") as "IN"];
      clause.operator = operator ?? Operator.UNSPECIFIED;
      return operator !== undefined;
    }
    case "values": {
      const values = (v: JsonValue | undefined) => (v === undefined ? [] : Array.isArray(v) ? v : undefined);
      const before = values(was);
      if (!before || (c.before !== "" && was === undefined)) return false;
      if (JSON.stringify(values(is)) !== JSON.stringify(clause.values.map(jsonOf))) return false;
      clause.values = before.map(toValue);
      return true;
    }
    case "negate":
      if ((is ?? false) !== clause.negate) return false;
      clause.negate = was === true;
      return true;
  }
  return false;
}

// What cannot be read is not there.
export function read<T>(how: () => T): T | undefined {
  try {
    return how();
  } catch {
    return undefined;
  }
}

export function clausesIn(json: string): Clause[] | undefined {
  const list = json === "" ? [] : jsonIn(json);
  return Array.isArray(list) ? read(() => list.map((c) => fromJson(ClauseSchema, c))) : undefined;
}

export function outcomeIn(json: string): Outcome | undefined {
  if (json === "") return create(OutcomeSchema);
  return read(() => fromJson(OutcomeSchema, jsonIn(json) ?? null));
}
