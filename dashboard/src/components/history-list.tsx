import { useInfiniteQuery } from "@tanstack/react-query";
import { RotateCcw } from "lucide-react";
import { Link } from "wouter";
import { instead } from "../api/errors";
import type { AuditEntry } from "../gen/tidegate/control/v1/audit_pb";
import { reasonWords } from "../lib/figures";
import { actionWords, badActions } from "../lib/history-words";
import { dateOf } from "../lib/time";
import { Ago, Badge, Button, Loading } from "./basics";
import { Changes, changesSummary, subjectOf } from "./changes";
import { ProblemNote } from "./problem";

type Page = { entries: AuditEntry[]; nextPageToken: string };

// The changes of one thing, newest first: who, why, when, what; each version can be restored.
export function HistoryList({
  environment,
  queryKey,
  fetch,
  current,
  restorable,
  onRestore,
}: {
  environment: string;
  queryKey: unknown[];
  fetch: (pageToken: string) => Promise<Page>;
  // The revision that is in force; 0: it is deleted.
  current: bigint;
  // Undefined: one may not.
  restorable?: (e: AuditEntry) => boolean;
  onRestore: (e: AuditEntry) => void;
}) {
  const query = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam }) => fetch(pageParam),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken || undefined,
  });
  const failure = instead(query);
  if (failure) return <ProblemNote failure={failure} again={() => void query.refetch()} />;
  if (!query.data) return <Loading rows={5} label="Loading the history" />;
  const entries = query.data.pages.flatMap((p) => p.entries);
  return (
    <ol className="history">
      {entries.map((e, i) => (
        <li key={e.sequence.toString()}>
          <div className="row spread">
            <div className="row tight">
              <Badge tone={badActions.has(e.action) ? "bad" : undefined}>{actionWords[e.action] ?? "changed"}</Badge>
              <strong>{e.actor || "nobody named"}</strong>
              <span className="soft">
                <Ago at={dateOf(e.time)} />
              </span>
              <span className="faint small num">revision {e.revision.toString()}</span>
              {e.rolloutKey && (
                <Link className="small" href={`/${environment}/rollouts/${e.rolloutKey}`}>
                  by the rollout {e.rolloutKey}
                </Link>
              )}
              {e.sourceEnvironment && <span className="soft small">from {e.sourceEnvironment}</span>}
            </div>
            {e.revision === current ? (
              <Badge tone="good">in force</Badge>
            ) : (
              restorable?.(e) && (
                <Button small onClick={() => onRestore(e)} aria-label={`Restore revision ${e.revision}`}>
                  <RotateCcw size={14} aria-hidden /> Restore
                </Button>
              )
            )}
          </div>
          <p className="why">{reasonWords(e) || <span className="faint">no reason was given</span>}</p>
          {e.changes.length > 0 && (
            <details className="more" open={i === 0 && e.changes.length <= 6}>
              <summary>{changesSummary(e)}</summary>
              <Changes changes={e.changes} subject={subjectOf(e.kind, e.resource.value)} />
            </details>
          )}
        </li>
      ))}
      {query.hasNextPage && (
        <li className="stack tight">
          {query.isFetchNextPageError && <ProblemNote failure={query.error} />}
          <Button small disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            {query.isFetchingNextPage ? "Loading…" : "Show older ones"}
          </Button>
        </li>
      )}
    </ol>
  );
}
