import { Action, type AuditEntry, ResourceKind } from "../gen/tidegate/control/v1/audit_pb";

// A part of a sentence: plain words, who did it, or the thing that it is about.
export type Part = { text: string; is?: "who" | "thing" };

// What an entry is about. By the names of the kinds, so that one that is new to this page has a
// name at least.
const kinds: Record<string, string> = {
  FLAG: "flag",
  SEGMENT: "segment",
  KEY: "key",
  EPOCH: "store",
  ROLLOUT: "rollout",
  IDENTITY: "identity",
  ENVIRONMENT: "environment",
  FREEZE: "freeze",
  CHANGE_REQUEST: "change request",
};

export function kindName(kind: ResourceKind): string {
  const name = ResourceKind[kind] ?? "";
  return kinds[name] ?? name.toLowerCase().replaceAll("_", " ");
}

export function actionName(action: Action): string {
  const name = Action[action] ?? "";
  return actionNames[name] ?? name.toLowerCase().replaceAll("_", " ");
}

const actionNames: Record<string, string> = {
  CREATED: "made",
  UPDATED: "changed",
  DELETED: "deleted",
  ENABLED: "turned on",
  DISABLED: "turned off",
  PROMOTED: "promoted",
  RESTORED: "restored",
  STARTED: "started",
  PAUSED: "paused",
  RESUMED: "resumed",
  ADVANCED: "widened",
  HELD: "held",
  COMPLETED: "completed",
  ROLLED_BACK: "rolled back",
  ABORTED: "aborted",
  TRIPPED: "shut by a relay",
  ROTATED: "new secret",
};

// `*` stands for the thing. What is not here is said with the action's name.
const sentences: Record<string, Record<string, string>> = {
  FLAG: {
    CREATED: "made the flag *",
    DELETED: "deleted the flag *",
    STARTED: "split * for a rollout",
    PAUSED: "left * as it is, for a paused rollout",
    RESUMED: "let * be widened again",
    ADVANCED: "widened *",
    HELD: "left * as it is",
    COMPLETED: "widened * to 100%",
    ROLLED_BACK: "took * back to the control",
    ABORTED: "gave * back to the control",
  },
  ROLLOUT: {
    STARTED: "started the rollout *",
    PAUSED: "paused the rollout *",
    RESUMED: "resumed the rollout *",
    ADVANCED: "took the rollout * to its next stage",
    HELD: "made the rollout * wait",
    COMPLETED: "completed the rollout *",
    ROLLED_BACK: "shut the rollout *",
    ABORTED: "aborted the rollout *",
    TRIPPED: "shut the rollout * by itself, while it was cut off",
    DELETED: "deleted the record of the rollout *",
  },
  SEGMENT: { CREATED: "made the segment *", UPDATED: "changed the segment *", DELETED: "deleted the segment *" },
  KEY: {
    CREATED: "made the key *",
    UPDATED: "changed the key *",
    ROTATED: "gave the key * a new secret",
    DELETED: "revoked the key *",
  },
  IDENTITY: {
    CREATED: "let * in",
    UPDATED: "changed what * is or may do",
    ROTATED: "gave * a new secret or password",
    DELETED: "removed *",
  },
  ENVIRONMENT: {
    CREATED: "made the environment *",
    UPDATED: "changed the settings of *",
    DELETED: "deleted the environment *",
  },
  EPOCH: { CREATED: "began the store", UPDATED: "began a new epoch of the store" },
  FREEZE: { FROZEN: "froze what is changed", LIFTED: "lifted a freeze" },
  CHANGE_REQUEST: {
    PROPOSED: "proposed change request *",
    APPROVED: "approved change request *",
    REJECTED: "rejected change request *",
    WITHDRAWN: "withdrew change request *",
    APPLIED: "applied change request *",
    FAILED: "could not apply change request *",
  },
};

const general: Record<string, string> = {
  UPDATED: "changed *",
  ENABLED: "turned on *",
  DISABLED: "turned off *",
};

// What a sentence calls the thing: people's names for it, where it has one.
function thing(e: AuditEntry): string {
  if (e.resource.case === "accessKey" && e.resource.value.name) return e.resource.value.name;
  if (e.resource.case === "identity" && e.resource.value.name) return e.resource.value.name;
  return e.key;
}

const fields: Record<string, string> = {
  default_outcome: "the default",
  client_visible: "the visibility in browsers",
  expected_lifetime: "the expected lifetime",
};

// Which fields of a flag or segment an update was about, as long as they are few.
function updated(e: AuditEntry): string {
  const names = [...new Set(e.changes.map((c) => /^[a-z_]+/.exec(c.path)?.[0] ?? ""))].filter(Boolean);
  if (names.length === 0 || names.length > 2) return "changed *";
  return `changed ${names.map((n) => fields[n] ?? `the ${n.replaceAll("_", " ")}`).join(" and ")} of *`;
}

function pattern(e: AuditEntry): string {
  const [kind, action] = [ResourceKind[e.kind] ?? "", Action[e.action] ?? ""];
  if (action === "UPDATED" && (kind === "FLAG" || kind === "SEGMENT")) return updated(e);
  if (action === "RESTORED") return `took * back to revision ${e.sourceRevision}`;
  if (action === "PROMOTED") return `promoted * from ${e.sourceEnvironment || "another environment"}`;
  return sentences[kind]?.[action] ?? general[action] ?? `${actionName(e.action)}: ${kindName(e.kind)} *`;
}

// An entry as one sentence: who did what to what.
export function entryParts(e: AuditEntry): Part[] {
  const relay = Action[e.action] === "TRIPPED";
  const who = e.actor || "Somebody unnamed";
  const parts: Part[] = [...(relay ? [{ text: "The relay " }] : []), { text: who, is: "who" }, { text: " " }];
  const [before = "", ...after] = pattern(e).split("*");
  if (before) parts.push({ text: before });
  if (after.length > 0) parts.push({ text: thing(e), is: "thing" });
  if (after[0]) parts.push({ text: after[0] });
  if (e.rolloutKey && e.kind === ResourceKind.FLAG)
    parts.push({ text: ", by the rollout " }, { text: e.rolloutKey, is: "thing" });
  return parts;
}

export function entryWords(e: AuditEntry): string {
  return entryParts(e)
    .map((p) => p.text)
    .join("");
}

// How an entry is to be looked at: something was made safe or harmed, went well, or neither.
export function entryTone(e: AuditEntry): "good" | "warn" | "bad" | "" {
  switch (Action[e.action]) {
    case "ROLLED_BACK":
    case "TRIPPED":
    case "DISABLED":
    case "DELETED":
    case "FAILED":
    case "REJECTED":
      return "bad";
    case "ABORTED":
    case "PAUSED":
    case "HELD":
    case "FROZEN":
      return "warn";
    case "COMPLETED":
    case "ENABLED":
    case "APPROVED":
      return "good";
  }
  return "";
}

// Where what an entry is about can be looked at; empty: nowhere.
export function entryPath(e: AuditEntry): string {
  const key = encodeURIComponent(e.key);
  switch (ResourceKind[e.kind]) {
    case "FLAG":
      return `/flags/${key}`;
    case "SEGMENT":
      return `/segments/${key}`;
    case "ROLLOUT":
      return `/rollouts/${key}`;
    case "KEY":
      return "/keys";
    case "IDENTITY":
      return "/people";
    case "ENVIRONMENT":
      return "/environments";
    case "CHANGE_REQUEST":
      return `/requests/${key}`;
  }
  return "";
}

// What tells an entry from all others.
export function entryId(e: AuditEntry): string {
  return `${e.environment}/${e.kind}/${e.key}/${e.sequence}`;
}
