import {
  BucketingVersion,
  type Clause,
  Operator,
  type Outcome,
  type Rule,
  type Split,
} from "../../gen/tidegate/flag/v1/flag_pb";
import { audienceWords, clausesWords, outcomeWords } from "../explain-flag";
import { shares } from "../flag-words";
import { percent } from "../numbers";
import { code, plain, type Words } from "../words";
import type { Said } from "./lines";

// "serves `on` to 5% in place of 1%, `off` to the rest".
export function servesInstead(was: Outcome, is: Outcome): Said {
  const pair = pairWords(was, is);
  if (pair) return pair;
  const words: Words = ["serves ", ...outcomeWords(is), " in place of ", ...outcomeWords(was)];
  if (plain(outcomeWords(is)) === plain(outcomeWords(was))) return undefined;
  return told(is) && told(was) && sameHash(was, is) ? words : { partly: words };
}

// "serves `on`", of a flag that was not there before.
export function serves(is: Outcome): Said {
  const words: Words = ["serves ", ...outcomeWords(is)];
  return told(is) && bare(is) ? words : { partly: words };
}

// Two variants that share otherwise.
function pairWords(was: Outcome, is: Outcome): Words | undefined {
  if (was.kind.case !== "split" || is.kind.case !== "split") return undefined;
  const [b, a] = [was.kind.value, is.kind.value];
  const [[x, y], [p, q]] = [shares(a.variants), shares(b.variants)];
  if (a.variants.length !== 2 || b.variants.length !== 2 || !x || !y || !p || !q) return undefined;
  if (x.variant !== p.variant || y.variant !== q.variant || b.bucketBy !== a.bucketBy || !sameHash(was, is))
    return undefined;
  if (![x, y, p, q].every((s) => exact(s.share)) || percent(x.share) === percent(p.share)) return undefined;
  if (total(a) === 0 || total(b) === 0) return undefined;
  const rest: Words = [", ", code(y.variant), " to the rest"];
  return ["serves ", code(x.variant), ` to ${percent(x.share)} in place of ${percent(p.share)}`, ...rest];
}

const total = (s: Split) => s.variants.reduce((sum, v) => sum + v.weight, 0);

// Whether a share is what its words say: 99.97% would be said to be all.
const exact = (share: number) => Math.abs(Number.parseFloat(percent(share)) - share * 100) < 1e-9;

// Whether the words of an outcome have all that is in it, but for what it hashes with.
function told(o: Outcome): boolean {
  if (o.kind.case === "expression") return false;
  if (o.kind.case !== "split") return true;
  const { variants } = o.kind.value;
  return variants.length > 0 && variants.length <= 6 && shares(variants).every((v) => v.share > 0 && exact(v.share));
}

// Whether what the words do not tell is the same.
function sameHash(was: Outcome, is: Outcome): boolean {
  const [b, a] = [hashed(was), hashed(is)];
  return b.salt === a.salt && b.version === a.version && !renamed(b.by, a.by);
}

// The targeting key by its name, where it had none, or the other way round.
const renamed = (b?: string, a?: string) => b !== a && [b, a].every((by) => by === "" || by === "targetingKey");

function hashed(o: Outcome) {
  const split = o.kind.case === "split" ? o.kind.value : undefined;
  return {
    by: split?.bucketBy,
    salt: split?.salt,
    version: split?.bucketingVersion ?? BucketingVersion.BUCKETING_VERSION_UNSPECIFIED,
  };
}

// Whether it hashes as all splits do that do not say how.
function bare(o: Outcome): boolean {
  const { salt, version } = hashed(o);
  return salt === undefined && version === BucketingVersion.BUCKETING_VERSION_UNSPECIFIED;
}

// A sentence names four values of a condition at most, and no attribute of one that is about segments.
function toldClauses(clauses: Clause[]): boolean {
  return clauses.every(
    (c) =>
      c.values.length <= 4 &&
      (c.operator !== Operator.EXISTS || c.values.length === 0) &&
      (c.operator !== Operator.IN_SEGMENT || c.attribute === ""),
  );
}

// "is about users whose …, and was about users whose …".
export function aboutInstead(was: Clause[], is: Clause[]): Said {
  if (was.length === 0 || is.length === 0) return undefined;
  const [b, a] = [clausesWords(was), clausesWords(is)];
  if (plain(b) === plain(a)) return undefined;
  const words: Words = ["is about ", ...a, "; was about ", ...b];
  return toldClauses(was) && toldClauses(is) ? words : { partly: words };
}

export function audience(clauses: Clause[]): Said {
  if (clauses.length === 0) return undefined;
  return toldClauses(clauses) ? clausesWords(clauses) : { partly: clausesWords(clauses) };
}

// A rule as a whole: "`on` to users whose …".
export function ruleSaid(rule: Rule): Said {
  const about: Words = rule.description ? [` (“${rule.description}”)`] : [];
  const { outcome } = rule;
  const words: Words = [...outcomeWords(outcome), " to ", ...audienceWords(rule), ...about];
  const complete = !rule.expression && toldClauses(rule.clauses) && (!outcome || (told(outcome) && bare(outcome)));
  return complete ? words : { partly: words };
}
