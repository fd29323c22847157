import { useQuery } from "@tanstack/react-query";
import { ChevronDown, ChevronRight } from "lucide-react";
import { useState } from "react";
import { rollouts } from "../../api/transport";
import { Ago, Badge, Card, CopyButton, Loading } from "../../components/basics";
import { ProblemNote } from "../../components/problem";
import type { Decision } from "../../gen/tidegate/rollout/v1/decision_pb";
import { figures } from "../../lib/figures";
import { count, plural } from "../../lib/numbers";
import { bandWords, share, standingWords, verdictTones, verdictWords } from "../../lib/rollout-words";
import { dateOf } from "../../lib/time";

// What the decider did, and why; each can be opened, and computed again.
export function Decisions({
  environment,
  rolloutKey,
  decisions,
  over,
}: {
  environment: string;
  rolloutKey: string;
  decisions: Decision[] | undefined;
  over: boolean;
}) {
  const [open, setOpen] = useState<bigint>();
  return (
    <Card title="Decisions" flush>
      {!decisions ? (
        <p className="body small soft">
          {over ? "None: it ended before the first." : "None yet: the first comes with the first counts."}
        </p>
      ) : (
        <ol className="decisions">
          {decisions.map((d) => (
            <li key={d.number.toString()}>
              <button
                type="button"
                aria-expanded={open === d.number}
                onClick={() => setOpen(open === d.number ? undefined : d.number)}
              >
                {open === d.number ? <ChevronDown size={15} aria-hidden /> : <ChevronRight size={15} aria-hidden />}
                <span className="num faint small">{d.number.toString()}</span>
                <Badge tone={verdictTones[d.verdict]}>{verdictWords[d.verdict]}</Badge>
                <span className="headline">{figures(d.headline)}</span>
                <span className="small soft">
                  <Ago at={dateOf(d.time)} />
                </span>
              </button>
              {open === d.number && <Opened environment={environment} rolloutKey={rolloutKey} decision={d} />}
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}

function Opened(props: { environment: string; rolloutKey: string; decision: Decision }) {
  const { environment, rolloutKey, decision } = props;
  const query = useQuery({
    queryKey: ["decision", environment, rolloutKey, decision.number.toString()],
    queryFn: async () =>
      (await rollouts.getDecision({ environment, key: rolloutKey, number: decision.number })).decision,
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (query.error) return <ProblemNote failure={query.error} again={() => void query.refetch()} />;
  if (!query.data)
    return (
      <div className="opened">
        <Loading rows={3} label="Loading the decision" />
      </div>
    );
  const d = query.data;
  const s = d.inputs?.situation;
  const replay = `tidegate rollout replay ${rolloutKey} ${d.number} -e ${environment}`;
  return (
    <div className="opened stack small">
      <dl className="kv">
        <dt>Share</dt>
        <dd className="num">
          {share(d.fromWeight)} → {share(d.toWeight)}
        </dd>
        {d.deciding && (
          <>
            <dt>Decided by</dt>
            <dd>{d.deciding}</dd>
          </>
        )}
        {d.assessment?.guardrails.map((g) => (
          <GuardrailLine key={g.name} g={g} />
        ))}
        {s && (
          <>
            <dt>Relays</dt>
            <dd className="num">
              {s.relaysApplied} of {plural(s.relays, "relay")} had applied the step, {s.relaysFresh} had told everything
            </dd>
          </>
        )}
        <dt>Counted</dt>
        <dd className="num">
          {plural(d.inputs?.windows.length ?? 0, "window")} of telemetry since the decision before
        </dd>
        <dt>Policy</dt>
        <dd>
          {d.policy || "fixed"} proposed “{verdictWords[d.proposed]}”{d.shield && `; the shield: ${d.shield}`}
        </dd>
        <dt>By</dt>
        <dd>
          {d.decider}, term <span className="num">{d.term.toString()}</span>, {d.softwareVersion}
        </dd>
      </dl>
      <div>
        <span className="soft">Compute it again from what it was made from; it comes out the same, bit for bit:</span>
        <div className="row tight">
          <code className="command">{replay}</code>
          <CopyButton text={replay} label="Copy the command" />
        </div>
      </div>
    </div>
  );
}

function GuardrailLine({ g }: { g: NonNullable<Decision["assessment"]>["guardrails"][number] }) {
  const c = g.counts;
  return (
    <>
      <dt>{g.name}</dt>
      <dd className="num">
        {standingWords[g.standing]}
        {bandWords(g) && `: ${bandWords(g)}`}
        {c &&
          `; ${count(c.treatmentEvents)} of ${count(c.treatmentExposures)} against ${count(c.controlEvents)} of ${count(c.controlExposures)}`}
      </dd>
    </>
  );
}
