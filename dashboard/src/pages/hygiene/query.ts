import { type Problem, problems } from "./findings";

// What is looked at, in the address: a problem, an owner, and from when on a flag is stale.
export type HygieneQuery = {
  problem: Problem | "";
  owner: string;
  // In seconds; 0: as the server has it, 14 days and 30 days.
  unusedFor: number;
  constantFor: number;
};

const sizes: Record<string, number> = { m: 60, h: 3600, d: 86_400 };

// A time such as 90m, 12h or 7d in seconds; 0 if it is none.
export function seconds(text: string | null): number {
  const [, n, unit] = /^(\d{1,5})([mhd])$/.exec(text ?? "") ?? [];
  return Number(n ?? 0) * (sizes[unit ?? ""] ?? 0);
}

export function short(s: number): string {
  if (s === 0) return "";
  if (s % 86_400 === 0) return `${s / 86_400}d`;
  return s % 3600 === 0 ? `${s / 3600}h` : `${Math.round(s / 60)}m`;
}

export function readQuery(search: string): HygieneQuery {
  const p = new URLSearchParams(search);
  const problem = (p.get("problem") ?? "") as Problem;
  return {
    problem: problems.includes(problem) ? problem : "",
    owner: p.get("owner") ?? "",
    unusedFor: seconds(p.get("unused")),
    constantFor: seconds(p.get("constant")),
  };
}

export function writeQuery(q: HygieneQuery): string {
  const p = new URLSearchParams();
  if (q.problem) p.set("problem", q.problem);
  if (q.owner) p.set("owner", q.owner);
  if (q.unusedFor) p.set("unused", short(q.unusedFor));
  if (q.constantFor) p.set("constant", short(q.constantFor));
  return p.toString();
}
