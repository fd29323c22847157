import type { DescMessage, JsonValue } from "@bufbuild/protobuf";
import { expect } from "vitest";
import type { Change } from "../merge";
import { plain } from "../words";
import { type Subject, sayChanges } from "./say";

// For tests: changes as the server tells them, and what is said of them.

const json = (v: JsonValue | undefined) => (v === undefined ? "" : JSON.stringify(v));
export const change = (path: string, before?: JsonValue, after?: JsonValue): Change => ({
  path,
  before: json(before),
  after: json(after),
});

// Sentences, and the paths of what is shown as it is.
export function said(subject: Subject, ...changes: Change[]): string[] {
  const lines = sayChanges(changes, subject);
  // Nothing is left out, and nothing is there twice.
  expect(lines.flatMap((l) => l.of.map((c) => c.path)).sort()).toEqual(changes.map((c) => c.path).sort());
  for (const l of lines) expect(l.words !== undefined || !l.whole).toBe(true);
  return lines.flatMap((l) => [...(l.words ? [plain(l.words)] : []), ...(l.whole ? [] : l.of.map((c) => c.path))]);
}

export const names = (schema: DescMessage) => new Set(schema.fields.map((f) => f.name));

export const clause = { attribute: "email", operator: "OPERATOR_ENDS_WITH", values: ["@x.io"] };
