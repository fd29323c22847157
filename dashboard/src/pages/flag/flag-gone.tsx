import { useQuery } from "@tanstack/react-query";
import { FileQuestion } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { flags } from "../../api/transport";
import { useRefusal } from "../../api/use-write";
import { Card, Empty } from "../../components/basics";
import { HistoryList } from "../../components/history-list";
import { PageHead } from "../../components/page";
import type { AuditEntry } from "../../gen/tidegate/control/v1/audit_pb";
import { RestoreFlagDialog } from "./history";

// A flag that is not there: it never was, or it was deleted and can be brought back.
export function FlagGone({ environment, flagKey }: { environment: string; flagKey: string }) {
  const mayWrite = useRefusal(environment)(flagKey) === undefined;
  const [restoring, setRestoring] = useState<AuditEntry>();
  const history = useQuery({
    queryKey: ["flag-history", environment, flagKey, "gone"],
    queryFn: () => flags.listFlagHistory({ environment, flagKey, pageSize: 1 }),
  });
  const was = (history.data?.entries.length ?? 0) > 0;
  return (
    <div className="page">
      <PageHead
        title={flagKey}
        tab={`${flagKey} · ${environment}`}
        above={
          <div className="small">
            <Link href={`/${environment}/flags`}>Flags</Link>
          </div>
        }
      />
      <Empty
        icon={FileQuestion}
        title={was ? `${flagKey} was deleted` : `There is no flag ${flagKey} in ${environment}`}
      >
        <p>
          {was
            ? "Callers get their own default. An earlier version can be restored below."
            : "It may be in another environment: choose one at the left. Or its key is written otherwise."}
        </p>
        <div className="row">
          <Link className="button" href={`/${environment}/flags?q=${encodeURIComponent(flagKey)}`}>
            Look for it
          </Link>
          {!was && mayWrite && (
            <Link className="button primary" href={`/${environment}/flags/~new?key=${encodeURIComponent(flagKey)}`}>
              Make it
            </Link>
          )}
        </div>
      </Empty>
      {was && (
        <Card title="History">
          <HistoryList
            environment={environment}
            queryKey={["flag-history", environment, flagKey, "gone", "all"]}
            fetch={(pageToken) => flags.listFlagHistory({ environment, flagKey, pageSize: 20, pageToken })}
            current={0n}
            restorable={mayWrite ? (e) => e.resource.case === "flag" : undefined}
            onRestore={setRestoring}
          />
        </Card>
      )}
      {restoring && (
        <RestoreFlagDialog
          environment={environment}
          flagKey={flagKey}
          entry={restoring}
          now={undefined}
          onClose={() => setRestoring(undefined)}
        />
      )}
    </div>
  );
}
