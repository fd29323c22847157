import "./changes.css";
import { create, type Message } from "@bufbuild/protobuf";
import {
  type AuditEntry,
  type FieldChange,
  FieldChangeSchema,
  ResourceKind,
} from "../gen/tidegate/control/v1/audit_pb";
import type { Line } from "../lib/changes/lines";
import { type Subject, sayChanges, subjectOfMessage } from "../lib/changes/say";
import { plain } from "../lib/words";
import { Diff } from "./diff";
import { Words } from "./words";

// What changes, in sentences; what there is none for, field by field; and all of it, exactly.
export function Changes(props: { changes: FieldChange[]; subject: Subject | undefined; none?: string }) {
  const { changes, subject, none } = props;
  const lines = subject ? sayChanges(changes, subject) : [];
  if (!lines.some((l) => l.words)) return <Diff changes={changes} none={none} />;
  const rest = lines.filter((l) => !l.whole).flatMap((l) => l.of.map((c) => create(FieldChangeSchema, c)));
  return (
    <div className="stack tight changes">
      <ul>
        {lines.map(
          (l) =>
            l.words && (
              <li key={l.of[0]?.path}>
                <Words words={l.words} />
              </li>
            ),
        )}
      </ul>
      {rest.length > 0 && <Diff changes={rest} />}
      {rest.length < changes.length && (
        <details className="more small">
          <summary>Exactly</summary>
          <Diff changes={changes} />
        </details>
      )}
    </div>
  );
}

// What an entry's changes are of, or those of something of a kind, if sentences are made of them.
export function subjectOf(kind: ResourceKind, after?: Message): Subject | undefined {
  switch (kind) {
    case ResourceKind.FLAG:
      return subjectOfMessage(after) ?? { kind: "flag" };
    case ResourceKind.SEGMENT:
      return subjectOfMessage(after) ?? { kind: "segment" };
    case ResourceKind.ENVIRONMENT:
      return { kind: "settings" };
  }
  return undefined;
}

// An entry's changes in a line: the first of them, and how many more there are.
export function changesSummary(e: AuditEntry): string {
  const subject = subjectOf(e.kind, e.resource.value);
  const lines: Line[] = subject ? sayChanges(e.changes, subject) : e.changes.map((c) => ({ of: [c], whole: false }));
  const [first] = lines;
  if (!first) return "";
  const words = first.words ? plain(first.words).replaceAll("`", "").replace(/\.$/, "") : (first.of[0]?.path ?? "");
  return lines.length === 1 ? words : `${words}, and ${lines.length - 1} more`;
}
