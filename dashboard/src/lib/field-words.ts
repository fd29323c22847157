import { type Clause, type Flag, Operator, type Segment } from "../gen/tidegate/flag/v1/flag_pb";
import { operatorWords } from "./operators";
import { code, type Words } from "./words";

// What people call a field of a flag or a segment that the server names by its path: for
// rules[0].clauses[1].values[2], "Rule `staff`, condition 2 (`plan` is), value 3".
export function fieldWords(of: Flag | Segment, path: string): Words {
  const all: Words = [];
  const steps = path.split(".").map((s) => /^([a-z_]*)(?:\[(\d+)\])?/.exec(s) ?? []);
  for (const [i, [, name = "", at]] of steps.entries()) {
    const place = at === undefined ? undefined : Number(at);
    const words = stepWords(of, name, place, steps);
    if (words.length > 0) all.push(...(all.length > 0 ? [", "] : []), ...words);
    // Deeper are values: people know them by the whole.
    if (name === "metadata" || name === "expression" || (name === "value" && i > 0)) break;
  }
  const [first, ...rest] = all;
  return typeof first === "string" ? [first.charAt(0).toUpperCase() + first.slice(1), ...rest] : all;
}

type Step = (string | undefined)[];

function stepWords(of: Flag | Segment, name: string, at: number | undefined, steps: Step[]): Words {
  const rule = of.rules[Number(steps[0]?.[2])];
  switch (name) {
    case "rules":
      return named("rule", at, rule && "id" in rule ? rule.id : "");
    case "clauses":
      return at === undefined ? ["conditions"] : [`condition ${at + 1}`, ...clauseWords(rule?.clauses[at], steps[2])];
    case "values": // as a whole: its condition says it
      return at === undefined ? [] : [`value ${at + 1}`];
    case "split":
      return [];
    case "variants":
      if (steps.length > 1 && steps.some(([, s]) => s === "split")) return at === undefined ? [] : [`share ${at + 1}`];
      return named("variant", at, steps[0]?.[1] === name && "variants" in of ? of.variants[at ?? -1]?.name : "");
    case "prerequisites":
      return named("prerequisite", at, "prerequisites" in of ? of.prerequisites[at ?? -1]?.flagKey : "");
    case "variant":
    case "weight": // what it is in says it
      return [];
    case "included":
    case "excluded": {
      const whose = name === "included" ? "of those in it" : "of those left out";
      return [at === undefined ? `keys ${whose}` : `key ${at + 1} ${whose}`];
    }
    case "tags":
      return [at === undefined ? name : `tag ${at + 1}`];
  }
  return [called[name] ?? name.replaceAll("_", " ")];
}

const called: Record<string, string> = {
  outcome: "what it serves",
  default_outcome: "what everyone else gets",
  off_variant: "what it serves while it is off",
  bucket_by: "what splits go by",
  flag_key: "flag",
};

function named(what: string, at: number | undefined, name: string | undefined): Words {
  if (at === undefined) return [`${what}s`];
  return name ? [`${what} `, code(name)] : [`${what} ${at + 1}`];
}

// What tells a condition from others, unless that is what is wrong.
function clauseWords(clause: Clause | undefined, field: Step | undefined): Words {
  if (!clause || field?.[1] === "attribute" || field?.[1] === "operator") return [];
  const o = operatorWords(clause.operator);
  const words = clause.negate ? o.not : o.words;
  if (clause.operator === Operator.IN_SEGMENT) return [` (${words})`];
  return clause.attribute ? [" (", code(clause.attribute), ` ${words})`] : [` (${words})`];
}
