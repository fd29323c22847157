import { useQuery } from "@tanstack/react-query";
import { ClipboardCheck } from "lucide-react";
import { Link } from "wouter";
import { changeRequests } from "../api/transport";
import { useLive } from "../api/use-live";
import { type ChangeRequest, ChangeRequest_State as State } from "../gen/tidegate/control/v1/change_request_pb";
import { dateOf, exactly, zoned } from "../lib/time";

// The open change requests that name something, and when each is written.
export function PendingRequests({ environment, names }: { environment: string; names: (r: ChangeRequest) => boolean }) {
  // What is proposed and what is applied may be among what is heard of.
  const revision = useLive((l) => l.entries[0]?.revision ?? 0n);
  const open = useQuery({
    queryKey: ["requests", environment, "open", revision.toString()],
    queryFn: async () =>
      (await changeRequests.listChangeRequests({ environment, state: State.OPEN, pageSize: 1000 })).changeRequests,
    placeholderData: (before) => before,
    // Who may see some keys alone may not list them.
    retry: false,
    refetchInterval: 15_000,
  });
  return open.data?.filter(names).map((r) => {
    const at = dateOf(r.applyAt);
    return (
      <Link key={r.number.toString()} className="rollout-strip" href={`/${environment}/requests/${r.number}`}>
        <ClipboardCheck size={15} aria-hidden />
        <span className="truncate">
          <strong>#{r.number.toString()}</strong> of {r.proposer?.name} would change this
          {at && <span title={exactly(at)}> at {zoned(at)}</span>}: “{r.reason}”
        </span>
      </Link>
    );
  });
}
