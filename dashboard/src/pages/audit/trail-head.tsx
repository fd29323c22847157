import { useQuery } from "@tanstack/react-query";
import { ShieldCheck } from "lucide-react";
import { audit } from "../../api/transport";
import { Ago, Card, CopyButton, Skeleton } from "../../components/basics";
import { Command } from "../../components/command";
import { count } from "../../lib/numbers";
import { dateOf } from "../../lib/time";

const hex = (bytes: Uint8Array) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

// What proves that the trail is whole, and how to check it.
export function TrailHead({ trail }: { trail: string }) {
  const query = useQuery({
    queryKey: ["trail-head", trail],
    queryFn: async () => (await audit.getTrailHead({ environment: trail })).head ?? null,
    refetchInterval: 10_000,
  });
  const head = query.data;
  return (
    <Card
      title={
        <h2 className="row tight">
          <ShieldCheck size={16} aria-hidden /> Proof
        </h2>
      }
    >
      <div className="stack">
        <p className="small soft">
          Entries are never changed. Each second’s are sealed by a hash over all before them: whoever removes or alters
          one breaks the chain.
        </p>
        {query.isPending ? (
          <Skeleton height={120} />
        ) : query.error ? (
          <p className="small">The newest seal could not be read.</p>
        ) : head ? (
          <dl className="kv small">
            <dt>Sealed</dt>
            <dd className="num">
              {count(head.entries)} {head.entries === 1n ? "entry" : "entries"}
            </dd>
            <dt>Up to</dt>
            <dd className="num">
              revision {head.throughRevision.toString()}, <Ago at={dateOf(head.time)} />
            </dd>
            <dt>Seal</dt>
            <dd className="num">number {count(head.number)}</dd>
            <dt>Hash</dt>
            <dd className="row tight fixed">
              <code className="truncate" title={hex(head.hash)}>
                {hex(head.hash)}
              </code>
              <CopyButton text={hex(head.hash)} label="Copy the hash of the newest seal" />
            </dd>
          </dl>
        ) : (
          <p className="small soft">Nothing is sealed yet.</p>
        )}
        <div className="stack tight">
          <h3>Keep the newest seals elsewhere, each day</h3>
          <Command>{"tidegate audit head >> heads.jsonl"}</Command>
          <h3>Prove that the trails still fit them</h3>
          <Command>{"tidegate audit verify --head heads.jsonl"}</Command>
          <h3>Take the trail with you</h3>
          <Command>{`tidegate audit export -e ${trail} -f trail.jsonl`}</Command>
        </div>
      </div>
    </Card>
  );
}
