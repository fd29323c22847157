import {
  type Approval,
  type ChangeRequest,
  type Party,
  ChangeRequest_State as State,
} from "../../gen/tidegate/control/v1/change_request_pb";
import type {
  GetChangeRequestResponse,
  UncountedApproval,
} from "../../gen/tidegate/control/v1/change_request_service_pb";
import { plural } from "../../lib/numbers";
import { dateOf, zoned } from "../../lib/time";

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
  return isMe(r.proposer, me);
}

export function hasApproved(r: ChangeRequest, me: Me): boolean {
  return r.approvals.some((a) => isMe(a.by, me));
}

function isMe(who: Party | undefined, me: Me): boolean {
  return who?.identityId ? who.identityId === me.id : who?.name.toLowerCase() === me.name.toLowerCase();
}

// Whether its time is still to come, as this browser's clock has it: the server decides.
export function isEarly(r: ChangeRequest, now: Date): boolean {
  const at = dateOf(r.applyAt);
  return at !== undefined && now < at;
}

// How many approvals one that is open lacks, of those that count.
export function lacks(answer: GetChangeRequestResponse): number {
  const given = answer.changeRequest?.approvals.length ?? 0;
  return Math.max(0, answer.approvalsRequired - given + answer.uncountedApprovals.length);
}

// Why an approval does not count; undefined: it does.
export function whyNot(approval: Approval, uncounted: UncountedApproval[]): string | undefined {
  return uncounted.find((u) => u.by?.identityId === approval.by?.identityId && u.by?.name === approval.by?.name)
    ?.problem;
}

// What an open one has got. A list does not know which approvals count: it cannot say what is ready.
export function given(r: ChangeRequest, required: number): string {
  const has = r.approvals.length;
  if (has < required) return `${has} of ${plural(required, "approval")}`;
  const approvals = has === 0 ? "needs no approval" : `${plural(has, "approval")} given`;
  return r.applyAt ? `${approvals}, scheduled` : approvals;
}

// When it is written, or was to be.
export function when(r: ChangeRequest, now: Date): string {
  const at = dateOf(r.applyAt);
  const closed = dateOf(r.closedAt);
  const due = at && zoned(at, now);
  const done = closed ? ` at ${zoned(closed, now)}` : "";
  switch (r.state) {
    case State.APPLIED:
      if (!due) return `It was written${done}, when somebody applied it.`;
      return r.appliedEarly
        ? `It was written${done}, before its time: it was to be at ${due}.`
        : `It was written${done}. It was to be at ${due}.`;
    case State.OPEN:
      return due ? `It is written at ${due} by itself, if it can be then.` : "When somebody applies it.";
    default:
      return due ? `It was to be written at ${due}, and was not.` : "It was not written.";
  }
}
