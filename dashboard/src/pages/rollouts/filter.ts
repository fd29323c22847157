import type { RolloutSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { State } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { isExperiment, isOver } from "../../lib/rollout-words";
import { dateOf } from "../../lib/time";

// What is asked of the list. It lives in the address.
export type RolloutQuery = {
  text: string;
  state: "" | "active" | "running" | "paused" | "completed" | "rolled-back" | "aborted";
  flag: string;
  // Of the rollout, or else of its flag.
  owner: string;
};

export const noQuery: RolloutQuery = { text: "", state: "", flag: "", owner: "" };

const states: Record<string, (s: State) => boolean> = {
  active: (s) => s === State.RUNNING || s === State.PAUSED,
  running: (s) => s === State.RUNNING,
  paused: (s) => s === State.PAUSED,
  completed: (s) => s === State.COMPLETED,
  "rolled-back": (s) => s === State.ROLLED_BACK,
  aborted: (s) => s === State.ABORTED,
};

export function readQuery(search: string): RolloutQuery {
  const p = new URLSearchParams(search);
  const state = p.get("state") ?? "";
  return {
    text: p.get("q") ?? "",
    state: (state in states ? state : "") as RolloutQuery["state"],
    flag: p.get("flag") ?? "",
    owner: p.get("owner") ?? "",
  };
}

export function writeQuery(q: RolloutQuery): string {
  const p = new URLSearchParams();
  if (q.text) p.set("q", q.text);
  if (q.state) p.set("state", q.state);
  if (q.flag) p.set("flag", q.flag);
  if (q.owner) p.set("owner", q.owner);
  return p.toString();
}

const time = (r: RolloutSummary, what: "startedAt" | "endedAt") => dateOf(r.status?.[what])?.getTime() ?? 0;

// Those that are asked for: those under way by when they began, then those that are over by
// when they ended, the newest first.
export function filterRollouts(
  all: Iterable<RolloutSummary>,
  q: RolloutQuery,
  experiments: boolean,
  ownerOf: (r: RolloutSummary) => string,
): { active: RolloutSummary[]; over: RolloutSummary[] } {
  const text = q.text.trim().toLowerCase();
  const found = [...all].filter(
    (r) =>
      (!experiments || isExperiment(r)) &&
      (q.state === "" || states[q.state]?.(r.status?.state ?? State.UNSPECIFIED)) &&
      (q.flag === "" || r.flagKey === q.flag) &&
      (q.owner === "" || ownerOf(r) === q.owner) &&
      (text === "" || `${r.key} ${r.flagKey} ${r.treatment} ${r.guardrails.join(" ")}`.toLowerCase().includes(text)),
  );
  return {
    active: found.filter((r) => !isOver(r.status)).sort((a, b) => time(b, "startedAt") - time(a, "startedAt")),
    over: found.filter((r) => isOver(r.status)).sort((a, b) => time(b, "endedAt") - time(a, "endedAt")),
  };
}
