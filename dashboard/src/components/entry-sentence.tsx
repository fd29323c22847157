import "./entry-sentence.css";
import { Link } from "wouter";
import type { AuditEntry } from "../gen/tidegate/control/v1/audit_pb";
import { entryParts, entryPath } from "../lib/entry-words";

// An entry of the audit trail as one sentence, with a link to what it is about.
export function EntrySentence({ entry, environment }: { entry: AuditEntry; environment: string }) {
  const path = entryPath(entry);
  let linked = false;
  return (
    <span className="sentence">
      {entryParts(entry).map((part, i) => {
        // biome-ignore lint/suspicious/noArrayIndexKey: a place in a sentence
        if (part.is === "who") return <strong key={i}>{part.text}</strong>;
        if (part.is !== "thing") return part.text;
        const to = linked ? `/rollouts/${encodeURIComponent(part.text)}` : path;
        linked = true;
        return to ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: a place in a sentence
          <Link key={i} href={`/${environment}${to}`}>
            {part.text}
          </Link>
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: a place in a sentence
          <strong key={i}>{part.text}</strong>
        );
      })}
    </span>
  );
}
