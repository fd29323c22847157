import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Conflict, ConflictSchema } from "../gen/tidegate/control/v1/audit_pb";

// A field of a request that the server objects to.
export type Violation = { field: string; problem: string };

// What a call failed with, for people.
export type Problem = {
  message: string;
  violations: Violation[];
  // Somebody else came first.
  conflict?: Conflict;
  // It is not known what became of a write: the same request may be sent again.
  unknown: boolean;
  // Nobody is there at all.
  unreachable: boolean;
  code?: Code;
};

export function problemOf(failure: unknown): Problem {
  const error = ConnectError.from(failure);
  const problem: Problem = {
    message: sentence(error.rawMessage),
    violations: [],
    unknown: error.code === Code.Unavailable || error.code === Code.DeadlineExceeded,
    unreachable: isUnreachable(error),
    code: error.code,
  };
  if (problem.unreachable) problem.message = "The server cannot be reached.";
  for (const detail of error.details) {
    if (!("type" in detail) || !("value" in detail)) continue;
    if (detail.type === "google.rpc.BadRequest") problem.violations.push(...violations(detail.value as Uint8Array));
    if (detail.type === ConflictSchema.typeName)
      problem.conflict = fromBinary(ConflictSchema, detail.value as Uint8Array);
  }
  return problem;
}

// The failure of a query to show in place of what it found; null: what was known stays, as the server
// could not be asked again. That something is gone, or not for these eyes any more, is an answer.
export function instead(query: { data: unknown; error: Error | null }): Error | null {
  if (!query.error || query.data === undefined) return query.error;
  const { code } = problemOf(query.error);
  return code === Code.NotFound || code === Code.PermissionDenied ? query.error : null;
}

// fetch fails with a TypeError where nobody answers, whatever the browser's words for it are.
function isUnreachable(error: ConnectError): boolean {
  return error.code === Code.Unknown && error.cause instanceof TypeError;
}

export function sentence(text: string): string {
  return text === "" ? "It did not work, and the server did not say why." : text[0]?.toUpperCase() + text.slice(1);
}

// Reads a google.rpc.BadRequest: 1 field_violations { 1 field, 2 description }.
function violations(bytes: Uint8Array): Violation[] {
  const all: Violation[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field !== 1) {
      reader.skip(wire);
      continue;
    }
    const one = { field: "", problem: "" };
    const end = reader.uint32() + reader.pos;
    while (reader.pos < end) {
      const [inner, innerWire] = reader.tag();
      if (inner === 1) one.field = reader.string();
      else if (inner === 2) one.problem = reader.string();
      else reader.skip(innerWire);
    }
    all.push(one);
  }
  return all;
}
