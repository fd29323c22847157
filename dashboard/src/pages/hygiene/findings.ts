import type { FlagPolicy } from "../../gen/tidegate/control/v1/environment_pb";
import { type StaleFlag, StaleReason_Kind } from "../../gen/tidegate/control/v1/flag_service_pb";
import type { FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";

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

export type Finding = { problem: Problem; text: string };
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
    if (against.length > 0) add("policy", `The policy asks for ${against.join(", ")}.`);
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
function judge(policy: FlagPolicy): (f: FlagSummary) => string[] {
  const pattern = expression(policy.keyPattern);
  return (f) => {
    const lacks: string[] = [];
    if (pattern && !pattern.test(f.key)) lacks.push(`a key like ${policy.keyPattern}`);
    if (policy.keyPrefixes.length > 0 && !policy.keyPrefixes.some((p) => f.key.startsWith(p)))
      lacks.push(`a key that begins with ${policy.keyPrefixes.join(" or ")}`);
    if (policy.requireOwner && !f.owner) lacks.push("an owner");
    if (policy.requireKind && f.kind === FlagKind.UNSPECIFIED) lacks.push("a kind");
    return lacks;
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
  const policy = f.findings.find((x) => x.problem === "policy");
  if (!policy) return f.findings;
  return f.findings.filter((x) => !(x.problem === "owner" || x.problem === "kind") || !policy.text.includes(x.problem));
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
