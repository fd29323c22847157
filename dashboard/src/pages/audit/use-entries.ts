import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import { audit } from "../../api/transport";
import { useLive, useLiveStore } from "../../api/use-live";
import { type AuditEntry, ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import { hasGap, joined } from "./entries";
import { type AuditQuery, filterOf, lets, writeQuery } from "./filter";

const pageSize = 50;
// How often a trail is asked for news that the page's stream does not tell.
const lookEvery = 3000;

// The entries of a trail that a query lets through: older ones by the page, news as they come.
export function useEntries(environment: string, query: AuditQuery) {
  const trail = query.trail || environment;
  const live = useLiveStore();
  const streamed = query.trail === "" && query.kind !== ResourceKind.KEY;
  const key = ["entries", trail, writeQuery(query)];
  const filter = useMemo(() => filterOf(query), [query]);
  const pages = useInfiniteQuery({
    queryKey: key,
    queryFn: async ({ pageParam }) => {
      const readAt = live.read().revision;
      const page = await audit.listEntries({ environment: trail, filter, pageSize, pageToken: pageParam });
      return { ...page, readAt };
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken || undefined,
    staleTime: 60_000,
  });
  const read = useMemo(() => pages.data?.pages.flatMap((p) => p.entries) ?? [], [pages.data]);
  const newestRead = read[0]?.revision ?? 0n;

  // What the stream does not tell is asked for.
  const news = useQuery({
    queryKey: [...key, "news", newestRead.toString()],
    queryFn: async () => {
      const asked = { environment: trail, filter: { ...filter, minRevision: newestRead + 1n }, pageSize };
      return (await audit.listEntries(asked)).entries;
    },
    enabled: !streamed && pages.isSuccess,
    refetchInterval: lookEvery,
  });
  const newest = useLive((l) => l.entries);
  const fresh: readonly AuditEntry[] = useMemo(
    () => (streamed ? newest.filter((e) => lets(filter, e)) : (news.data ?? [])),
    [streamed, newest, filter, news.data],
  );
  const { refetch } = pages;
  const readAt = pages.data?.pages[0]?.readAt;
  const gap = streamed && readAt !== undefined && hasGap(readAt, newest);
  useEffect(() => {
    if (gap) void refetch();
  }, [gap, refetch]);

  return { pages, entries: useMemo(() => joined(read, fresh), [read, fresh]) };
}
