import { useState } from "react";
import { segments } from "../../api/transport";
import { Card, Note } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { Changes } from "../../components/changes";
import type { Version } from "../../components/draft";
import { differences } from "../../components/editing/differences";
import { HistoryList } from "../../components/history-list";
import { Words } from "../../components/words";
import type { AuditEntry } from "../../gen/tidegate/control/v1/audit_pb";
import type { SegmentSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { subjectOfMessage } from "../../lib/changes/say";
import { segmentKind } from "./kind";
import { explainSegment } from "./words";

// What became of the segment, and the way back to each version.
export function SegmentHistory({
  environment,
  version,
  mayWrite,
}: {
  environment: string;
  version: Version<typeof SegmentSchema>;
  mayWrite: boolean;
}) {
  const [restoring, setRestoring] = useState<AuditEntry>();
  const segmentKey = version.message.key;
  const then = restoring?.resource.case === "segment" ? restoring.resource.value : undefined;
  return (
    <Card title="History">
      <HistoryList
        environment={environment}
        queryKey={["segment-history", environment, segmentKey, version.revision.toString()]}
        fetch={(pageToken) => segments.listSegmentHistory({ environment, segmentKey, pageSize: 20, pageToken })}
        current={version.revision}
        restorable={mayWrite ? (e) => e.resource.case === "segment" : undefined}
        onRestore={setRestoring}
      />
      {restoring && then && (
        <ChangeDialog
          title={`Restore ${segmentKey} as of revision ${restoring.revision}`}
          environment={environment}
          label="Restore"
          wide
          reason={`Back to revision ${restoring.revision}: `}
          done={`${segmentKey} is as it was at revision ${restoring.revision}`}
          run={async (reason, requestId) => {
            const { segment } = await segments.restoreSegment({
              environment,
              segmentKey,
              revision: restoring.revision,
              baseRevision: version.revision,
              reason,
              requestId,
            });
            return { revision: segment?.revision };
          }}
          proposal={() => ({ segments: [{ segment: then, baseRevision: version.revision }] })}
          onClose={() => setRestoring(undefined)}
        >
          <Note>
            <span>
              <Words words={explainSegment(then)} />
            </span>
          </Note>
          <Changes
            changes={differences(segmentKind, version.message, then)}
            subject={subjectOfMessage(then)}
            none="It is the same as what is there."
          />
        </ChangeDialog>
      )}
    </Card>
  );
}
