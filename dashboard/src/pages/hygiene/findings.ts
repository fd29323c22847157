import type { FlagPolicy } from "../../gen/tidegate/control/v1/environment_pb";
import { type StaleFlag, StaleReason_Kind } from "../../gen/tidegate/control/v1/flag_service_pb";
import type { FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";
import { plural } from "../../lib/numbers";

// What can be wrong with a flag, the most urgent first.
export const problems = ["unusable", "expired", "unused", "constant", "policy", "owner", "kind"] as const;
export type Problem = (typeof problems)[number];

export const problemNames: Record<Problem, string> = {
  unusable: "Unusable",
  expired: "Past its lifetime",
  unused: "Not evaluated",
  constant: "Same for everyone",
  policy: "Against the policy",
  owner: "Without an owner",
  kind: "Without a kind",
};

export const problemHelp: Record<Problem, string> = {
  unusable: "What is stored cannot be used. The last version that could be is served.",
  expired: "It is there for longer than was expected of it.",
  unused: "Nobody has evaluated it for a while: the code may be gone.",
  constant: "It serves everyone the same: the code could do without it.",
  policy: "A flag like it could not be made in this environment today.",
  owner: "Nobody is named who could be asked about it.",
  kind: "Nobody said what it is for, so nobody knows how long it should be there.",
};

// What to do about it, in a sentence.
export const problemAdvice: Record<Problem, string> = {
  unusable: "Open it, and restore a version that works.",
  expired: "Take it out of the code, then delete it; or say that it stays.",
  unused: "Make sure that no code asks for it, then delete it.",
  constant: "Keep what it serves in the code, then delete it; or say that it stays.",
  policy: "Give it what the policy asks for; where that is another key, make another flag.",
  owner: "Name the team that looks after it.",
  kind: "Say what it is for: a release, an experiment, operations, a permission.",
};

// `says`: the other problems that its text tells as well.
export type Finding = { problem: Problem; text: string; says?: Problem[] };
export type Found = { flag: FlagSummary; findings: Finding[] };

const staleProblems: Partial<Record<StaleReason_Kind, Problem>> = {
  [StaleReason_Kind.UNUSED]: "unused",
  [StaleReason_Kind.CONSTANT]: "constant",
  [StaleReason_Kind.EXPIRED]: "expired",
};

// Everything that there is to say about the flags, for those of which there is something.
export function findAll(
  flags: Iterable<FlagSummary>,
  stale: readonly StaleFlag[],
  policy: FlagPolicy | undefined,
): Found[] {
  const reasons = new Map(stale.map((s) => [s.flagKey, s.reasons]));
  const wrong = policy && judge(policy);
  const all: Found[] = [];
  for (const flag of flags) {
    const findings: Finding[] = [];
    const add = (problem: Problem, text: string) => findings.push({ problem, text });
    if (flag.unusable) add("unusable", problemHelp.unusable);
    for (const r of reasons.get(flag.key) ?? []) {
      const problem = staleProblems[r.kind];
      if (problem) add(problem, sentence(r.text));
    }
    const against = wrong?.(flag) ?? [];
    if (against.length > 0) {
      const text = `The policy asks for ${against.map((a) => a.lacks).join(", ")}.`;
      findings.push({ problem: "policy", text, says: against.flatMap((a) => a.says ?? []) });
    }
    if (!flag.owner) add("owner", problemHelp.owner);
    if (!flag.kind) add("kind", problemHelp.kind);
    if (findings.length === 0) continue;
    findings.sort((a, b) => problems.indexOf(a.problem) - problems.indexOf(b.problem));
    all.push({ flag, findings });
  }
  return all.sort(
    (a, b) => rank(a) - rank(b) || b.findings.length - a.findings.length || (a.flag.key < b.flag.key ? -1 : 1),
  );
}

const rank = (f: Found) => problems.indexOf(f.findings[0]?.problem ?? "kind");

function sentence(text: string): string {
  const first = (text[0] ?? "").toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

// What a flag lacks of what a policy asks for.
type Lack = { lacks: string; says?: Problem };

function judge(policy: FlagPolicy): (f: FlagSummary) => Lack[] {
  const pattern = expression(policy.keyPattern);
  return (f) => {
    const all: Lack[] = [];
    if (pattern && !pattern.test(f.key)) all.push({ lacks: `a key like ${policy.keyPattern}` });
    if (policy.keyPrefixes.length > 0 && !policy.keyPrefixes.some((p) => f.key.startsWith(p)))
      all.push({ lacks: `a key that begins with ${policy.keyPrefixes.join(" or ")}` });
    if (policy.requireOwner && !f.owner) all.push({ lacks: "an owner", says: "owner" });
    if (policy.requireKind && f.kind === FlagKind.UNSPECIFIED) all.push({ lacks: "a kind", says: "kind" });
    return all;
  };
}

// The server's expressions are RE2's. What a browser cannot read is not judged here.
function expression(pattern: string): RegExp | undefined {
  if (!pattern) return undefined;
  try {
    return new RegExp(`^(?:${pattern})$`, "u");
  } catch {
    return undefined;
  }
}

// What is to be read: that the policy asks for an owner or a kind says that there is none.
export function told(f: Found): Finding[] {
  const said = new Set(f.findings.flatMap((x) => x.says ?? []));
  return f.findings.filter((x) => !said.has(x.problem));
}

// What the findings come to. Known: everything that they are made from is there.
export function summaryWords(of: { known: boolean; failed: boolean; found: number; flags: number }): string {
  if (of.failed) return "Not everything could be looked at.";
  if (!of.known) return "Loading…";
  if (of.flags === 0) return "There are no flags yet.";
  if (of.found > 0) return `${of.found} of ${plural(of.flags, "flag")} could do with some care.`;
  return of.flags === 1 ? "The one flag is in order." : `All ${of.flags} flags are in order.`;
}

export function counts(found: readonly Found[]): Record<Problem, number> {
  const all = Object.fromEntries(problems.map((p) => [p, 0])) as Record<Problem, number>;
  for (const f of found) for (const one of f.findings) all[one.problem]++;
  return all;
}

export type Owned = { owner: string; found: Found[] };

// By owner, who has the most first; nobody's last.
export function byOwner(found: readonly Found[]): Owned[] {
  const owners = new Map<string, Found[]>();
  for (const f of found) owners.set(f.flag.owner, [...(owners.get(f.flag.owner) ?? []), f]);
  return [...owners]
    .map(([owner, some]) => ({ owner, found: some }))
    .sort(
      (a, b) => Number(!a.owner) - Number(!b.owner) || b.found.length - a.found.length || (a.owner < b.owner ? -1 : 1),
    );
}
