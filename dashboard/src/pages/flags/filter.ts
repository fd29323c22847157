import type { FlagActivity, FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";

// What is asked of the list. It lives in the address, so that a list can be shared.
export type FlagQuery = {
  text: string;
  state: "" | "on" | "off" | "rollout" | "stale" | "unusable";
  kind: FlagKind;
  owner: string;
  tag: string;
  sort: "key" | "changed" | "evaluated" | "evaluations";
  down: boolean;
};

export const noQuery: FlagQuery = {
  text: "",
  state: "",
  kind: FlagKind.UNSPECIFIED,
  owner: "",
  tag: "",
  sort: "key",
  down: false,
};

const states = ["on", "off", "rollout", "stale", "unusable"];
const sorts = ["key", "changed", "evaluated", "evaluations"];

export function readQuery(search: string): FlagQuery {
  const p = new URLSearchParams(search);
  const state = p.get("state") ?? "";
  const sort = p.get("sort") ?? "";
  const kind = Number(p.get("kind") ?? 0);
  return {
    text: p.get("q") ?? "",
    state: (states.includes(state) ? state : "") as FlagQuery["state"],
    kind: kind in FlagKind ? kind : FlagKind.UNSPECIFIED,
    owner: p.get("owner") ?? "",
    tag: p.get("tag") ?? "",
    sort: (sorts.includes(sort) ? sort : "key") as FlagQuery["sort"],
    down: p.get("down") === "1",
  };
}

export function writeQuery(q: FlagQuery): string {
  const p = new URLSearchParams();
  if (q.text) p.set("q", q.text);
  if (q.state) p.set("state", q.state);
  if (q.kind) p.set("kind", String(q.kind));
  if (q.owner) p.set("owner", q.owner);
  if (q.tag) p.set("tag", q.tag);
  if (q.sort !== "key") p.set("sort", q.sort);
  if (q.down) p.set("down", "1");
  return p.toString();
}

type Activities = ReadonlyMap<string, FlagActivity>;

// The text that a search looks through, once for each version of a flag.
const haystacks = new WeakMap<FlagSummary, string>();

function haystack(f: FlagSummary): string {
  let text = haystacks.get(f);
  if (text === undefined) {
    text = [f.key, f.description, f.owner, ...f.tags].join("\n").toLowerCase();
    haystacks.set(f, text);
  }
  return text;
}

const sum = (a: FlagActivity | undefined) =>
  (a?.evaluations ?? []).reduce((all, e) => all + e.counts.reduce((x, y) => x + Number(y), 0), 0);

// The flags that a query lets through, in its order. Every word of its text must be found.
export function filterFlags(flags: Iterable<FlagSummary>, activities: Activities, q: FlagQuery): FlagSummary[] {
  const words = q.text.toLowerCase().split(/\s+/).filter(Boolean);
  const found: FlagSummary[] = [];
  for (const f of flags) {
    if (q.kind && f.kind !== q.kind) continue;
    if (q.owner && f.owner !== q.owner) continue;
    if (q.tag && !f.tags.includes(q.tag)) continue;
    if (q.state === "on" && !f.enabled) continue;
    if (q.state === "off" && f.enabled) continue;
    if (q.state === "rollout" && f.rollouts.length + f.hiddenRollouts === 0) continue;
    if (q.state === "unusable" && !f.unusable) continue;
    if (q.state === "stale" && !activities.get(f.key)?.stale.length) continue;
    if (words.length > 0 && !words.every((w) => haystack(f).includes(w))) continue;
    found.push(f);
  }
  const sign = q.down ? -1 : 1;
  const byKey = (a: FlagSummary, b: FlagSummary) => (a.key < b.key ? -sign : a.key > b.key ? sign : 0);
  if (q.sort === "key") return found.sort(byKey);
  const by = {
    changed: (f: FlagSummary) => -Number(f.revision),
    evaluated: (f: FlagSummary) => -Number(activities.get(f.key)?.lastEvaluatedAt?.seconds ?? 0n),
    evaluations: (f: FlagSummary) => -sum(activities.get(f.key)),
  }[q.sort];
  const rank = new Map(found.map((f) => [f, by(f)]));
  return found.sort((a, b) => sign * ((rank.get(a) ?? 0) - (rank.get(b) ?? 0)) || byKey(a, b));
}

// What there is to choose from, the most frequent first.
export function facet(flags: Iterable<FlagSummary>, of: (f: FlagSummary) => string[]): string[] {
  const counts = new Map<string, number>();
  for (const f of flags) for (const v of of(f)) if (v) counts.set(v, (counts.get(v) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([v]) => v);
}
