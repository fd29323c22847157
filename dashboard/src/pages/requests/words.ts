import { type ChangeRequest, ChangeRequest_State as State } from "../../gen/tidegate/control/v1/change_request_pb";
import { plural } from "../../lib/numbers";

export const stateWords: Record<State, string> = {
  [State.UNSPECIFIED]: "",
  [State.OPEN]: "open",
  [State.APPLIED]: "applied",
  [State.REJECTED]: "rejected",
  [State.WITHDRAWN]: "withdrawn",
  [State.FAILED]: "failed",
};

export const stateTones: Record<State, "accent" | "good" | "bad" | undefined> = {
  [State.UNSPECIFIED]: undefined,
  [State.OPEN]: "accent",
  [State.APPLIED]: "good",
  [State.REJECTED]: "bad",
  [State.WITHDRAWN]: undefined,
  [State.FAILED]: "bad",
};

// What a change request names, in a few words.
export function names(r: ChangeRequest): string {
  const parts: string[] = [];
  if (r.rolloutKey) return `start the rollout ${r.rolloutKey} of ${r.flagKeys.join(", ")}`;
  if (r.flagKeys.length > 0) parts.push(few(r.flagKeys, "flag"));
  if (r.segmentKeys.length > 0)
    parts.push(`${r.segmentKeys.length === 1 ? "segment " : ""}${few(r.segmentKeys, "segment")}`);
  return parts.join(" and ");
}

function few(keys: string[], one: string): string {
  return keys.length <= 2 ? keys.join(", ") : `${keys[0]} and ${plural(keys.length - 1, `other ${one}`)}`;
}

export type Me = { id: string; name: string };

// Whether somebody is who proposed it: by identity, or, where nobody is asked, by name.
export function isProposer(r: ChangeRequest, me: Me): boolean {
  const p = r.proposer;
  return p?.identityId ? p.identityId === me.id : p?.name === me.name;
}

export function hasApproved(r: ChangeRequest, me: Me): boolean {
  return r.approvals.some((a) => (a.by?.identityId ? a.by.identityId === me.id : a.by?.name === me.name));
}

// What an open one waits for.
export function waitsFor(r: ChangeRequest, required: number): string {
  const missing = required - r.approvals.length;
  if (missing > 0) return `${r.approvals.length} of ${plural(required, "approval")}`;
  return r.applyAt ? "approved, and scheduled" : "ready to apply";
}
