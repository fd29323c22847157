import { useState } from "react";
import { Field, Select } from "../basics";
import { ChangeDialog } from "../change-dialog";

const overlaps: [label: string, seconds: number][] = [
  ["ends at once", 0],
  ["1 hour", 3600],
  ["24 hours", 86_400],
  ["7 days", 7 * 86_400],
  ["30 days", 30 * 86_400],
];

// Another secret, with the one before good for a while, so that nothing that uses it stops.
export function RotateDialog({
  name,
  environment,
  run,
  onClose,
}: {
  name: string;
  environment: string;
  run: (overlapSeconds: number, reason: string, requestId: string) => Promise<void>;
  onClose: () => void;
}) {
  const [overlap, setOverlap] = useState(86_400);
  return (
    <ChangeDialog
      title={`Give ${name} a new secret`}
      environment={environment}
      unprotected
      label="Rotate"
      done={`${name} has a new secret`}
      run={async (reason, requestId) => {
        await run(overlap, reason, requestId);
        return {};
      }}
      onClose={onClose}
    >
      <Field
        label="The secret before is good for"
        hint={
          overlap > 0
            ? "Put the new one in place everywhere in that time."
            : "What uses it is refused until it has the new one."
        }
      >
        {(ids) => (
          <Select {...ids} value={overlap} onChange={(e) => setOverlap(Number(e.target.value))}>
            {overlaps.map(([label, s]) => (
              <option key={s} value={s}>
                {label}
              </option>
            ))}
          </Select>
        )}
      </Field>
    </ChangeDialog>
  );
}
