import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { flags } from "../../api/transport";
import { Field, Loading, Select } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { Dialog } from "../../components/dialog";
import { ProblemNote } from "../../components/problem";
import { FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";

const kinds: { kind: FlagKind; words: string }[] = [
  { kind: FlagKind.OPERATIONAL, words: "Operational: turns something off, or down, in an emergency" },
  { kind: FlagKind.PERMISSION, words: "Permission: gives something to those who may have it" },
];

// A flag that is there to stay is of a kind that may serve the same for years, and of no lifetime.
export function PermanentDialog({
  flagKey,
  environment,
  onClose,
  onDone,
}: {
  flagKey: string;
  environment: string;
  onClose: () => void;
  onDone: () => void;
}) {
  const [kind, setKind] = useState(FlagKind.OPERATIONAL);
  const query = useQuery({
    queryKey: ["flag", environment, flagKey, "to be kept"],
    queryFn: () => flags.getFlag({ environment, flagKey }),
    staleTime: 0,
    gcTime: 0,
  });
  const found = query.data?.flag;
  if (query.error || !found?.flag)
    return (
      <Dialog title={`Keep ${flagKey}`} onClose={onClose}>
        {query.error ? (
          <ProblemNote failure={query.error} again={() => void query.refetch()} />
        ) : (
          <Loading rows={3} label="Loading the flag" />
        )}
      </Dialog>
    );
  const { flag, revision } = found;

  const kept = { ...flag, kind, expectedLifetime: undefined };

  async function run(reason: string, requestId: string) {
    const { flag: written } = await flags.updateFlag({
      environment,
      flag: kept,
      baseRevision: revision,
      reason,
      requestId,
    });
    return { revision: written?.revision };
  }

  return (
    <ChangeDialog
      title={`Keep ${flagKey} in ${environment}`}
      environment={environment}
      label="Keep it"
      done={`${flagKey} is there to stay`}
      run={run}
      proposal={() => ({ flags: [{ flag: kept, baseRevision: revision }] })}
      onClose={onClose}
      onDone={onDone}
    >
      <p>
        It is not called stale any more for being old, or for serving everyone the same
        {flag.expectedLifetime ? "; its expected lifetime is taken away" : ""}. What it serves stays as it is.
      </p>
      <Field label="What it is for">
        {(ids) => (
          <Select {...ids} value={kind} onChange={(e) => setKind(Number(e.target.value))}>
            {kinds.map((k) => (
              <option key={k.kind} value={k.kind}>
                {k.words}
              </option>
            ))}
          </Select>
        )}
      </Field>
    </ChangeDialog>
  );
}
