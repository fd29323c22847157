import "../../styles/editor.css";
import "./flag.css";
import "../../styles/rules.css";
import { Code } from "@connectrpc/connect";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useParams } from "wouter";
import { problemOf } from "../../api/errors";
import { flags } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { Loading, Skeleton } from "../../components/basics";
import { ProblemNote } from "../../components/problem";
import type { FlagVersion } from "../../gen/tidegate/control/v1/flag_service_pb";
import { FlagGone } from "./flag-gone";
import { FlagPage } from "./flag-page";

// Everything about one flag: what it serves, to whom, and how it came to that.
export default function FlagRoute() {
  const environment = useEnvironment();
  const key = useParams().key ?? "";
  return <OneFlag key={`${environment}/${key}`} environment={environment} flagKey={key} />;
}

function OneFlag({ environment, flagKey }: { environment: string; flagKey: string }) {
  const revision = useLive((l) => l.flags.get(flagKey)?.revision);
  // What moves it is shown above it: what comes later would push it down.
  const settled = useLive(
    (l) =>
      l.ready || l.connection === "lost" || l.connection === "refused" || l.flags.get(flagKey)?.rollouts.length === 0,
  );
  const query = useQuery({
    // Asked again when the stream tells of another version, or that it is gone.
    queryKey: ["flag", environment, flagKey, revision?.toString() ?? "none"],
    queryFn: async () => (await flags.getFlag({ environment, flagKey })).flag as FlagVersion,
    placeholderData: keepPreviousData,
    staleTime: 30_000,
  });
  const version = useMemo(
    () => query.data?.flag && { message: query.data.flag, revision: query.data.revision },
    [query.data],
  );
  if (query.error && problemOf(query.error).code === Code.NotFound && !query.isFetching)
    return <FlagGone environment={environment} flagKey={flagKey} />;
  if (version && settled) return <FlagPage environment={environment} version={version} />;
  if (query.error)
    return (
      <div className="page">
        <ProblemNote failure={query.error} again={() => void query.refetch()} />
      </div>
    );
  return (
    <div className="page">
      <Skeleton height={28} width={280} />
      <Skeleton height={18} width="60%" />
      <Loading rows={7} label="Loading the flag" />
    </div>
  );
}
