import "../../styles/editor.css";
import "../../styles/rules.css";
import "./segments.css";
import { Code } from "@connectrpc/connect";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { FileQuestion } from "lucide-react";
import { useMemo } from "react";
import { Link, useParams } from "wouter";
import { problemOf } from "../../api/errors";
import { segments } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { Empty, Loading, Skeleton } from "../../components/basics";
import { ProblemNote } from "../../components/problem";
import { SegmentPage } from "./segment-page";

// One segment: who belongs to it, and which flags that changes.
export default function SegmentRoute() {
  const environment = useEnvironment();
  const key = useParams().key ?? "";
  return <OneSegment key={`${environment}/${key}`} environment={environment} segmentKey={key} />;
}

function OneSegment({ environment, segmentKey }: { environment: string; segmentKey: string }) {
  const revision = useLive((l) => l.segments.get(segmentKey)?.revision);
  const query = useQuery({
    queryKey: ["segment", environment, segmentKey, revision?.toString() ?? "none"],
    queryFn: async () => (await segments.getSegment({ environment, segmentKey })).segment,
    placeholderData: keepPreviousData,
    staleTime: 30_000,
  });
  const version = useMemo(
    () => query.data?.segment && { message: query.data.segment, revision: query.data.revision },
    [query.data],
  );
  if (query.error && problemOf(query.error).code === Code.NotFound && !query.isFetching)
    return (
      <div className="page">
        <Empty icon={FileQuestion} title={`There is no segment ${segmentKey} in ${environment}`}>
          <p>It may be in another environment, or it was deleted.</p>
          <Link className="button" href={`/${environment}/segments`}>
            All segments
          </Link>
        </Empty>
      </div>
    );
  if (version) return <SegmentPage environment={environment} version={version} />;
  if (query.error)
    return (
      <div className="page">
        <ProblemNote failure={query.error} again={() => void query.refetch()} />
      </div>
    );
  return (
    <div className="page">
      <Skeleton height={28} width={280} />
      <Loading rows={6} label="Loading the segment" />
    </div>
  );
}
