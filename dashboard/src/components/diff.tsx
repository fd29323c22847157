import type { FieldChange } from "../gen/tidegate/control/v1/audit_pb";

// What changes, field by field: what was there, and what comes.
export function Diff({ changes, none = "Nothing differs." }: { changes: FieldChange[]; none?: string }) {
  if (changes.length === 0) return <p className="soft">{none}</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: who has no mouse scrolls it by the keyboard
    <div className="diff" role="group" aria-label="What differs" tabIndex={0}>
      {changes.map((c) => (
        <div key={c.path}>
          <div className="path">{c.path}</div>
          {c.before && <div className="before">{c.before}</div>}
          {c.after && <div className="after">{c.after}</div>}
        </div>
      ))}
    </div>
  );
}
