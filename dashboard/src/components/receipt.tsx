import { useEffect, useState } from "react";
import { fleet } from "../api/transport";
import type { WaitAppliedResponse } from "../gen/tidegate/control/v1/fleet_service_pb";
import { receiptOf } from "../lib/receipt-words";
import { useTone } from "./toast";

// How long to leave the servers alone, once some relays did not have it in time.
const again = 5000;

type Told = { answer: WaitAppliedResponse; first: boolean };

// How far a change has come, told until all relays have it.
function useReach(environment: string, revision: bigint, past: boolean) {
  const [told, setTold] = useState<Told>();
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async (first: boolean) => {
      let reached = false;
      try {
        // Later it is how it stands that is asked for: what is waited for holds a connection.
        const timeout = first ? undefined : { seconds: 1n, nanos: 0 };
        const answers = fleet.waitApplied({ environment, revision, timeout }, { signal: stop.signal });
        for await (const answer of answers) {
          setTold({ answer, first: first && !past });
          reached = answer.reached && answer.unreachableServers.length === 0;
        }
        setFailed(false);
      } catch {
        if (!stop.signal.aborted) setFailed(true);
      }
      if (!reached && !stop.signal.aborted) timer = setTimeout(() => void ask(false), again);
    };
    void ask(true);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [environment, revision, past]);
  return { told, failed };
}

// How far a change has come: how many of the relays have applied its revision, as it happens, and
// which of them have not.
export function Receipt({
  environment,
  revision,
  past = false,
}: {
  environment: string;
  revision: bigint;
  // It was written long ago: how long it took is not known any more.
  past?: boolean;
}) {
  const { told, failed } = useReach(environment, revision, past);
  const receipt = told && receiptOf(told.answer, { environment, first: told.first, now: new Date() });
  // Whoever has switched something off wants to see it through, and who has not got it.
  useTone(failed ? "warn" : (receipt?.tone ?? "waits"));

  if (failed && !told) return <span className="small">It is not known which relays have it.</span>;
  if (!receipt) return <span className="soft small">Asking the relays…</span>;
  const bad = receipt.tone === "warn";
  return (
    <div className={`stack tight small num ${bad ? "" : "soft"}`}>
      {bad && receipt.lacking.length > 0 ? <strong>{receipt.words}</strong> : <span>{receipt.words}</span>}
      {receipt.lacking.length > 0 && (
        <ul className="stack tight lacking">
          {receipt.lacking.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
      {receipt.serves && <span>{receipt.serves}</span>}
      {receipt.unsure && <span>{receipt.unsure}</span>}
      {failed && <span>The server cannot be asked now: this may have changed.</span>}
    </div>
  );
}
