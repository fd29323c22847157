import { useState } from "react";
import { flags } from "../../api/transport";
import { Card, Note } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { Changes } from "../../components/changes";
import type { Version } from "../../components/draft";
import { differences } from "../../components/editing/differences";
import { HistoryList } from "../../components/history-list";
import { Words } from "../../components/words";
import type { AuditEntry } from "../../gen/tidegate/control/v1/audit_pb";
import type { FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { subjectOfMessage } from "../../lib/changes/say";
import { explainFlag } from "../../lib/explain-flag";
import { flagKind } from "./kind";

// What became of the flag, and the way back to each version.
export function History({
  environment,
  version,
  mayWrite,
  dirty,
}: {
  environment: string;
  version: Version<typeof FlagSchema>;
  mayWrite: boolean;
  dirty: boolean;
}) {
  const [restoring, setRestoring] = useState<AuditEntry>();
  const { key } = version.message;
  return (
    <Card title="History">
      <HistoryList
        environment={environment}
        queryKey={["flag-history", environment, key, version.revision.toString()]}
        fetch={(pageToken) => flags.listFlagHistory({ environment, flagKey: key, pageSize: 20, pageToken })}
        current={version.revision}
        restorable={mayWrite ? (e) => e.resource.case === "flag" : undefined}
        onRestore={setRestoring}
      />
      {restoring && (
        <RestoreFlagDialog
          environment={environment}
          flagKey={key}
          entry={restoring}
          now={version}
          note={dirty ? "What you edit stays, and is put on top." : undefined}
          onClose={() => setRestoring(undefined)}
        />
      )}
    </Card>
  );
}

export function RestoreFlagDialog({
  environment,
  flagKey,
  entry,
  now,
  note,
  onClose,
}: {
  environment: string;
  flagKey: string;
  entry: AuditEntry;
  // Undefined: it is deleted.
  now: Version<typeof FlagSchema> | undefined;
  note?: string;
  onClose: () => void;
}) {
  const then = entry.resource.case === "flag" ? entry.resource.value : undefined;
  if (!then) return null;
  return (
    <ChangeDialog
      title={`Restore ${flagKey} as of revision ${entry.revision}`}
      environment={environment}
      label="Restore"
      wide
      reason={`Back to revision ${entry.revision}: `}
      done={`${flagKey} is as it was at revision ${entry.revision}`}
      run={async (reason, requestId) => {
        const { flag } = await flags.restoreFlag({
          environment,
          flagKey,
          revision: entry.revision,
          baseRevision: now?.revision ?? 0n,
          reason,
          requestId,
        });
        return { revision: flag?.revision };
      }}
      proposal={() => ({ flags: [{ flag: then, baseRevision: now?.revision ?? 0n }] })}
      onClose={onClose}
    >
      <Note>
        <span>
          From then on: <Words words={explainFlag(then)} />
        </span>
        {note && <span>{note}</span>}
      </Note>
      {now && (
        <Changes
          changes={differences(flagKind, now.message, then)}
          subject={subjectOfMessage(then)}
          none="It is the same as what is there."
        />
      )}
    </ChangeDialog>
  );
}
