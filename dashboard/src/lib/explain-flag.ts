import { type Clause, type Flag, Operator, type Outcome, type Rule, type Split } from "../gen/tidegate/flag/v1/flag_pb";
import { shares } from "./flag-words";
import { percent } from "./numbers";
import { operatorWords } from "./operators";
import { jsonOf } from "./values";
import { code, list, type Words } from "./words";

// What a flag says, in sentences.

export const callersDefault = "the caller's own default";

// Everything that a flag does, in one sentence. Long ones tell the first rules, and how many
// come after them.
export function explainFlag(flag: Flag, mostRules = 3): Words {
  if (!flag.enabled) {
    if (!flag.offVariant) return ["It is off: everyone gets ", callersDefault, "."];
    return ["It is off: everyone gets ", code(flag.offVariant), "."];
  }
  const all: Words = [];
  if (flag.prerequisites.length > 0) {
    all.push("Only where ");
    all.push(...list(flag.prerequisites.map(prerequisiteWords), "and"), ": ");
  }
  const rules = flag.rules.slice(0, mostRules);
  rules.forEach((rule, i) => {
    const serves = i === 0 ? (all.length === 0 ? "Serves " : "serves ") : "";
    all.push(i === 0 ? "" : "; else ", serves, ...ruleWords(rule));
  });
  const more = flag.rules.length - rules.length;
  if (more > 0) all.push(`; then ${more === 1 ? "one more rule" : `${more} more rules`}`);
  if (flag.rules.length === 0) {
    const serves = all.length === 0 ? "Serves " : "serves ";
    all.push(serves, ...outcomeWords(flag.defaultOutcome), " to everyone");
  } else {
    all.push("; everyone else gets ", ...outcomeWords(flag.defaultOutcome));
  }
  if (flag.prerequisites.length > 0) all.push("; elsewhere ", flag.offVariant ? code(flag.offVariant) : callersDefault);
  all.push(".");
  return all.filter((w) => w !== "");
}

function prerequisiteWords(p: { flagKey: string; variants: string[] }): Words {
  return [
    code(p.flagKey),
    " is on and serves ", // the off variant of one that is off does not count
    ...list(
      p.variants.map((v) => [code(v)]),
      "or",
    ),
  ];
}

// "`on` to users whose `email` ends with "@x.io"", "`on` to 5% of users whose …".
export function ruleWords(rule: Rule): Words {
  const who = audienceWords(rule);
  const outcome = rule.outcome?.kind;
  if (outcome?.case === "split") {
    const parts = shares(outcome.value.variants).filter((s) => s.share > 0);
    const [first, second] = parts;
    if (first && second && parts.length === 2)
      return [
        code(first.variant),
        ` to ${percent(first.share)} of `,
        ...who,
        ...byWords(outcome.value),
        ", ",
        code(second.variant),
        " to the rest of them",
      ];
    return [...splitWords(outcome.value), " to ", ...who];
  }
  return [...outcomeWords(rule.outcome), " to ", ...who];
}

// Who a rule is about.
export function audienceWords(rule: { clauses: Clause[]; expression?: Rule["expression"] }): Words {
  if (rule.expression) return ["whoever its expression matches"];
  if (rule.clauses.length === 0) return ["everyone"];
  return clausesWords(rule.clauses);
}

// "users whose `a` is 1 and who are in the segment `b`".
export function clausesWords(clauses: Clause[]): Words {
  return ["users ", ...list(clauses.map(clauseWords), "and", Number.POSITIVE_INFINITY)];
}

function clauseWords(clause: Clause): Words {
  const o = operatorWords(clause.operator);
  const values = list(clause.values.map(valueWords), "or");
  if (clause.operator === Operator.IN_SEGMENT)
    return [clause.negate ? "who are not in the segment " : "who are in the segment ", ...values];
  const whose: Words = ["whose ", clause.attribute === "targetingKey" ? "key" : code(clause.attribute || "…"), " "];
  if (clause.operator === Operator.EXISTS) return [...whose, clause.negate ? "is not known" : "is known"];
  return [...whose, clause.negate ? o.not : o.words, " ", ...(clause.values.length === 0 ? ["…"] : values)];
}

function valueWords(value: Clause["values"][number]): Words {
  const json = jsonOf(value);
  return [code(typeof json === "string" ? json : JSON.stringify(json))];
}

export function outcomeWords(outcome: Outcome | undefined): Words {
  switch (outcome?.kind.case) {
    case "variant":
      return [code(outcome.kind.value)];
    case "split":
      return splitWords(outcome.kind.value);
    case "expression":
      return ["what its expression names"];
    default:
      return [callersDefault];
  }
}

function splitWords(split: Split): Words {
  const parts = shares(split.variants).filter((s) => s.share > 0);
  if (parts.length === 0) return ["nothing yet"];
  return [
    ...list(
      parts.map((p) => [code(p.variant), ` (${percent(p.share)})`]),
      "or",
      6,
    ),
    ...byWords(split),
  ];
}

function byWords(split: Split): Words {
  return split.bucketBy && split.bucketBy !== "targetingKey" ? [" (by ", code(split.bucketBy), ")"] : [];
}
