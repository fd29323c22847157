import { Operator } from "../gen/tidegate/flag/v1/flag_pb";

// What the values of an operator are.
export type OperandKind = "any" | "text" | "number" | "date" | "version" | "segment" | "none";

export type OperatorWords = {
  operator: Operator;
  // As files call it.
  name: string;
  // "email …", and its negation.
  words: string;
  not: string;
  operands: OperandKind;
  // It takes exactly one value.
  single?: boolean;
};

const o = (
  operator: Operator,
  name: string,
  words: string,
  not: string,
  operands: OperandKind,
  single?: boolean,
): OperatorWords => ({ operator, name, words, not, operands, single });

// In the order in which they are offered.
export const operators: OperatorWords[] = [
  o(Operator.IN, "in", "is", "is not", "any"),
  o(Operator.CONTAINS, "contains", "contains", "does not contain", "text"),
  o(Operator.STARTS_WITH, "startsWith", "starts with", "does not start with", "text"),
  o(Operator.ENDS_WITH, "endsWith", "ends with", "does not end with", "text"),
  o(Operator.MATCHES, "matches", "matches the pattern", "does not match the pattern", "text"),
  o(Operator.IN_SEGMENT, "inSegment", "is in the segment", "is not in the segment", "segment"),
  o(Operator.EXISTS, "exists", "is there", "is not there", "none"),
  o(Operator.LESS_THAN, "lessThan", "is less than", "is not less than", "number", true),
  o(Operator.LESS_THAN_OR_EQUAL, "lessThanOrEqual", "is at most", "is not at most", "number", true),
  o(Operator.GREATER_THAN, "greaterThan", "is more than", "is not more than", "number", true),
  o(Operator.GREATER_THAN_OR_EQUAL, "greaterThanOrEqual", "is at least", "is not at least", "number", true),
  o(Operator.BEFORE, "before", "is before", "is not before", "date", true),
  o(Operator.AFTER, "after", "is after", "is not after", "date", true),
  o(Operator.SEMVER_EQUALS, "semverEquals", "is version", "is not version", "version"),
  o(Operator.SEMVER_LESS_THAN, "semverLessThan", "is a version below", "is not a version below", "version", true),
  o(
    Operator.SEMVER_LESS_THAN_OR_EQUAL,
    "semverLessThanOrEqual",
    "is a version up to",
    "is not a version up to",
    "version",
    true,
  ),
  o(Operator.SEMVER_GREATER_THAN, "semverGreaterThan", "is a version above", "is not a version above", "version", true),
  o(
    Operator.SEMVER_GREATER_THAN_OR_EQUAL,
    "semverGreaterThanOrEqual",
    "is a version from",
    "is not a version from",
    "version",
    true,
  ),
  o(
    Operator.SEMVER_SAME_MAJOR,
    "semverSameMajor",
    "has the major version of",
    "has not the major version of",
    "version",
    true,
  ),
  o(
    Operator.SEMVER_SAME_MINOR,
    "semverSameMinor",
    "has the minor version of",
    "has not the minor version of",
    "version",
    true,
  ),
];

export function operatorWords(operator: Operator): OperatorWords {
  return operators.find((w) => w.operator === operator) ?? o(operator, "", "?", "not ?", "any");
}

export function operatorNamed(name: string): OperatorWords | undefined {
  return operators.find((w) => w.name === name);
}

// Attributes that callers cannot set, and everyone has.
export const builtInAttributes: { name: string; words: string }[] = [
  { name: "targetingKey", words: "who is asked about: the key that splits hash" },
  { name: "$tidegate.region", words: "where the relay runs" },
  { name: "$tidegate.timeOfDay", words: "hours since midnight UTC, 0 to below 24" },
  { name: "$tidegate.weekday", words: "day of the week in UTC, 1 is Monday" },
];
