import {
  FlagExplanation_Decided as Decided,
  type PrerequisiteExplanation,
} from "../gen/tidegate/control/v1/explanation_pb";
import { code, list, type Words } from "./words";

// What a prerequisite came to.
export function prerequisiteStepWords(p: PrerequisiteExplanation): Words {
  const wanted = list(
    p.wanted.map((w) => [code(w)]),
    "or",
    Number.POSITIVE_INFINITY,
  );
  return [code(p.flagKey), " must serve ", ...wanted, ...outcome(p), "."];
}

function outcome(p: PrerequisiteExplanation): Words {
  if (p.cyclic) return [": it needs this flag itself, so it does not hold"];
  if (!p.flag) return [];
  const { decided, served } = p.flag;
  if (decided === Decided.NOT_FOUND) return [", and there is no such flag"];
  const there = served ? code(served) : "the caller’s own default";
  // Of a flag that may not be read, it shows by what does not hold.
  const off = decided === Decided.DISABLED || (!p.held && p.wanted.includes(served));
  return off ? [". It is off: what it serves then, ", there, ", does not count"] : [", and serves ", there];
}
