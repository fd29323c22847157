import { useEffect, useState } from "react";
import { fleet } from "../api/transport";
import type { WaitAppliedResponse } from "../gen/tidegate/control/v1/fleet_service_pb";
import { plural } from "../lib/numbers";
import { afterWords, missingWords } from "../lib/receipt-words";
import { secondsOf } from "../lib/time";
import { useHold } from "./toast";

// How far a change has come: how many of the relays have applied its revision, as it happens.
export function Receipt({
  environment,
  revision,
  past,
}: {
  environment: string;
  revision: bigint;
  // It was written long ago: how long it took is not known any more.
  past?: boolean;
}) {
  const [told, setTold] = useState<WaitAppliedResponse>();
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    const stop = new AbortController();
    (async () => {
      try {
        for await (const r of fleet.waitApplied({ environment, revision }, { signal: stop.signal })) setTold(r);
      } catch {
        if (!stop.signal.aborted) setFailed(true);
      }
    })();
    return () => stop.abort();
  }, [environment, revision]);

  // Whoever has switched something off wants to see it through, and who has not got it.
  useHold(!failed && (told === undefined || (told.total > 0 && !told.reached)));

  if (failed) return <span className="soft small">It is not known how many relays have it.</span>;
  if (!told) return <span className="soft small">Asking the relays…</span>;
  if (told.total === 0) return <span className="soft small">No relay follows {environment} now.</span>;
  const missing = missingWords(
    told.missing.map((r) => r.instanceId),
    told.total - told.applied,
    told.last,
  );
  return (
    <span className="soft small num">
      {told.applied} of {plural(told.total, "relay")} {told.total === 1 ? "has" : "have"} it
      {told.reached && !past && ` ${afterWords(secondsOf(told.elapsed) ?? 0)}`}
      {missing && ` · ${missing}`}
      {told.unreachableServers.length > 0 && ` · not asked: ${told.unreachableServers.join(", ")}`}
    </span>
  );
}
