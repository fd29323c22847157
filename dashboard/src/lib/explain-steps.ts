import {
  FlagExplanation_Decided as Decided,
  type FlagExplanation,
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
  return [code(p.flagKey), " must serve ", ...wanted, ...(p.flag ? servedThere(p.flag) : []), ...cycle(p), "."];
}

function servedThere(e: FlagExplanation): Words {
  const served = e.served ? code(e.served) : "the caller’s own default";
  switch (e.decided) {
    case Decided.NOT_FOUND:
      return [", and there is no such flag"];
    case Decided.DISABLED:
      return [". It is off: what it serves then, ", served, ", does not count"];
    default:
      return [", and serves ", served];
  }
}

const cycle = (p: PrerequisiteExplanation): Words =>
  p.cyclic ? [": it needs this flag itself, so it does not hold"] : [];
