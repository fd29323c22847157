import type { JsonValue } from "@bufbuild/protobuf";
import {
  BucketingVersion,
  type Clause,
  type Flag,
  FlagKind,
  Operator,
  type Outcome,
  type Rule,
  type Split,
  ValueType,
} from "../../gen/tidegate/flag/v1/flag_pb";
import { kindWords } from "../flag-words";
import { operatorWords } from "../operators";
import { jsonOf } from "../values";
import { formatDuration } from "./duration";
import { inline, listOf, mapping, type Node, number, quote, text, write } from "./layout";

export const apiVersion = "tidegate/v1";

export const typeNames: [ValueType, string][] = [
  [ValueType.BOOLEAN, "boolean"],
  [ValueType.STRING, "string"],
  [ValueType.INTEGER, "integer"],
  [ValueType.DOUBLE, "double"],
  [ValueType.OBJECT, "object"],
];

// A file with the one flag, as `tidegate export` writes it.
export function writeFlag(flag: Flag): string {
  return write(
    mapping([
      ["apiVersion", text(apiVersion)],
      ["flags", mapping([[flag.key, flagNode(flag)]])],
    ]),
  );
}

const textIf = (s: string) => (s === "" ? undefined : text(s));
const bool = (b: boolean) => inline(String(b));
const texts = (all: string[]) =>
  all.length === 0
    ? undefined
    : listOf(
        all.map((s) => inline(quote(s))),
        true,
      );
const listIf = (items: Node[]) => (items.length === 0 ? undefined : listOf(items));

function flagNode(f: Flag): Node {
  return mapping([
    ["description", textIf(f.description)],
    ["owner", textIf(f.owner)],
    ["tags", texts(f.tags)],
    ["kind", f.kind === FlagKind.UNSPECIFIED ? undefined : textIf(kindWords[f.kind] ?? "")],
    ["expectedLifetime", f.expectedLifetime && text(formatDuration(f.expectedLifetime))],
    ["metadata", f.metadata && jsonNode(f.metadata)],
    ["type", text(typeNames.find(([t]) => t === f.type)?.[1] ?? "")],
    ["enabled", bool(f.enabled)],
    [
      "variants",
      mapping(
        f.variants.map((v) => [v.name, jsonNode(jsonOf(v.value))]),
        true,
      ),
    ],
    ["offVariant", textIf(f.offVariant)],
    [
      "prerequisites",
      listIf(
        f.prerequisites.map((p) =>
          mapping(
            [
              ["flag", textIf(p.flagKey)],
              ["variants", texts(p.variants)],
            ],
            true,
          ),
        ),
      ),
    ],
    ["rules", listIf(f.rules.map((r) => ruleNode(r, f.bucketingVersion)))],
    ["default", f.defaultOutcome && outcomeNode(f.defaultOutcome, f.bucketingVersion)],
    ["bucketingVersion", versionNode(f.bucketingVersion, BucketingVersion.BUCKETING_VERSION_2)],
    ["clientVisible", f.clientVisible ? bool(true) : undefined],
  ]);
}

function versionNode(v: BucketingVersion, of: BucketingVersion): Node | undefined {
  return v === of || v === BucketingVersion.BUCKETING_VERSION_UNSPECIFIED ? undefined : number(v);
}

function ruleNode(r: Rule, version: BucketingVersion): Node {
  return mapping([
    ["id", textIf(r.id)],
    ["description", textIf(r.description)],
    ["when", r.clauses.length === 0 ? undefined : clausesNode(r.clauses)],
    ["expression", r.expression && jsonNode(jsonOf(r.expression))],
    ["serve", r.outcome && outcomeNode(r.outcome, version)],
  ]);
}

function clausesNode(clauses: Clause[]): Node {
  return listOf(clauses.map(clauseNode), clauses.length === 1);
}

function clauseNode(c: Clause): Node {
  const { name } = operatorWords(c.operator);
  if (c.operator === Operator.EXISTS)
    return mapping(
      [
        ["attribute", textIf(c.attribute)],
        [name, bool(!c.negate)],
      ],
      true,
    );
  const values = c.values.map((v) => jsonNode(jsonOf(v)));
  return mapping(
    [
      ["attribute", textIf(c.attribute)],
      [name, values.length === 1 ? values[0] : listOf(values, true)],
      ["not", c.negate ? bool(true) : undefined],
    ],
    true,
  );
}

function outcomeNode(o: Outcome, version: BucketingVersion): Node {
  switch (o.kind.case) {
    case "split":
      return splitNode(o.kind.value, version);
    case "expression":
      return mapping([["expression", jsonNode(jsonOf(o.kind.value))]], true);
    default:
      return text(o.kind.value ?? "");
  }
}

function splitNode(s: Split, version: BucketingVersion): Node {
  return mapping([
    [
      "split",
      listOf(
        s.variants.map((v) =>
          mapping(
            [
              ["variant", text(v.variant)],
              ["weight", number(v.weight)],
            ],
            true,
          ),
        ),
        true,
      ),
    ],
    ["bucketBy", textIf(s.bucketBy)],
    ["salt", s.salt === undefined ? undefined : text(s.salt)],
    ["bucketingVersion", versionNode(s.bucketingVersion, version)],
  ]);
}

function jsonNode(v: JsonValue): Node {
  if (v === null) return inline("null");
  if (typeof v === "boolean") return bool(v);
  if (typeof v === "number") return number(v);
  if (typeof v === "string") return text(v);
  if (Array.isArray(v)) return listOf(v.map(jsonNode), true);
  // Objects have no order: theirs is that of their names.
  return mapping(
    Object.keys(v)
      .sort()
      .map((k) => [k, jsonNode(v[k] ?? null)]),
    true,
  );
}
