import { isMessage, type JsonValue, type Message, toJson } from "@bufbuild/protobuf";
import {
  ClauseSchema,
  type Flag,
  FlagSchema,
  type Outcome,
  OutcomeSchema,
  type Segment,
  SegmentSchema,
} from "../../gen/tidegate/flag/v1/flag_pb";
import type { Change } from "../merge";
import { flagSaid } from "./flag";
import { type Item, type Line, lineOf } from "./lines";
import { segmentSaid } from "./segment";
import { settingsSaid } from "./settings";
import { clausesBefore, outcomes } from "./undo";

// What changes are of, as far as sentences are made of them. The flag or segment is as it is after
// the changes, where that is known: without it, less is said.
export type Subject = { kind: "flag"; after?: Flag } | { kind: "segment"; after?: Segment } | { kind: "settings" };

// What the changes of something are of that leave it as it is here.
export function subjectOfMessage(after: Message | undefined): Subject | undefined {
  if (after && isMessage(after, FlagSchema)) return { kind: "flag", after };
  if (after && isMessage(after, SegmentSchema)) return { kind: "segment", after };
  return undefined;
}

// Says changes, in their order. Each is in one line; what no sentence is made of is in one without.
export function sayChanges(changes: readonly Change[], subject: Subject): Line[] {
  const all = changes.map(({ path, before, after }) => ({ path, before, after }));
  const enabled = all.find((c) => c.path === "enabled");
  // All of a flag that was deleted: what it was is no change.
  if (subject.kind === "flag" && enabled?.after === "") return all.map((c) => lineOf({ ...c, of: [c] }, undefined));
  // What is cut off may be a part of anything: what something was does not follow then.
  const cut = all.some((c) => c.path.startsWith("("));
  switch (subject.kind) {
    case "flag": {
      const around = { after: subject.after, made: enabled?.before === "" };
      const known = cut ? undefined : subject.after;
      return items(all, (unit, of) => flagUnit(unit, of, known)).map((i) => lineOf(i, flagSaid(i, around)));
    }
    case "segment": {
      const known = cut ? undefined : subject.after;
      return items(all, (unit, of) => segmentUnit(unit, of, known)).map((i) => lineOf(i, segmentSaid(i)));
    }
    case "settings":
      return items(all, () => undefined).map((i) => lineOf(i, settingsSaid(i)));
  }
}

const unitOf = /^(?:default_outcome|rules\[[^\]]*\]\.(?:outcome|clauses))(?=[.[])/s;

// Changes with those of one outcome, or of one rule's conditions, as one, where that is possible.
function items(changes: Change[], unit: (path: string, of: Change[]) => Change | undefined): Item[] {
  const units = new Map<string, Change[]>();
  for (const c of changes) {
    const path = unitOf.exec(c.path)?.[0] ?? c.path;
    units.set(path, [...(units.get(path) ?? []), c]);
  }
  return [...units].flatMap(([path, of]): Item[] => {
    const joined = of.every((c) => c.path.length > path.length) ? unit(path, of) : undefined;
    return joined ? [{ ...joined, of }] : of.map((c) => ({ ...c, of: [c] }));
  });
}

const from = (path: string, of: Change[]): Change[] =>
  of.map((c) => ({ ...c, path: c.path.slice(path.length).replace(/^\./, "") }));

function flagUnit(path: string, of: Change[], after: Flag | undefined): Change | undefined {
  const id = /^rules\[([^\]]*)\]/.exec(path)?.[1];
  const rule = after?.rules.find((r) => r.id === id);
  if (path.endsWith(".clauses")) return rule && clausesUnit(path, of, rule.clauses);
  const found = outcomes(id === undefined ? after?.defaultOutcome : rule?.outcome, from(path, of));
  const json = (o: Outcome) => JSON.stringify(toJson(OutcomeSchema, o, { useProtoFieldName: true }));
  return found && { path, before: json(found.was), after: json(found.is) };
}

function segmentUnit(path: string, of: Change[], after: Segment | undefined): Change | undefined {
  const place = /^rules\[(\d+)\]\.clauses$/.exec(path)?.[1];
  const rule = place === undefined ? undefined : after?.rules[Number(place)];
  return rule && clausesUnit(path, of, rule.clauses);
}

function clausesUnit(path: string, of: Change[], is: Flag["rules"][number]["clauses"]): Change | undefined {
  const was = clausesBefore(is, from(path, of));
  const json = (list: typeof is) =>
    JSON.stringify(list.map((c): JsonValue => toJson(ClauseSchema, c, { useProtoFieldName: true })));
  return was && { path, before: json(was), after: json(is) };
}
