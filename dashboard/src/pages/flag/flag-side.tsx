import { Link } from "wouter";
import { useLive } from "../../api/use-live";
import { Card, CopyButton } from "../../components/basics";
import { VariantChart } from "../../components/variant-chart";
import type { FlagActivity, FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { type Flag, Operator } from "../../gen/tidegate/flag/v1/flag_pb";

// What goes with the flag whatever part of it is looked at: its evaluations, and its neighbours.
export function FlagSide({
  environment,
  flag,
  summary,
  activity,
}: {
  environment: string;
  flag: Flag;
  summary: FlagSummary | undefined;
  activity: FlagActivity | undefined;
}) {
  return (
    <aside className="stack side" aria-label="Evaluations and neighbours">
      <Card title="Evaluations in the last hour">
        <VariantChart variants={summary?.variants ?? flag.variants.map((v) => v.name)} activity={activity} />
      </Card>
      <Card title="Where it is used">
        <Neighbours environment={environment} flag={flag} summary={summary} />
      </Card>
    </aside>
  );
}

function Neighbours({
  environment,
  flag,
  summary,
}: {
  environment: string;
  flag: Flag;
  summary: FlagSummary | undefined;
}) {
  const flags = useLive((l) => l.flags);
  const rollouts = useLive((l) => l.rollouts);
  const needers = [...flags.values()].filter((f) => f.prerequisites.includes(flag.key)).map((f) => f.key);
  const segments = new Set(
    flag.rules.flatMap((r) =>
      r.clauses
        .filter((c) => c.operator === Operator.IN_SEGMENT)
        .flatMap((c) => c.values.map((v) => (v.kind.case === "stringValue" ? v.kind.value : ""))),
    ),
  );
  const all = [...rollouts.values()].filter((r) => r.flagKey === flag.key).map((r) => r.key);
  const needs = summary?.prerequisites ?? [];
  const links = (keys: Iterable<string>, kind: string) =>
    [...keys].map((k) => (
      <li key={k}>
        <Link className="mono" href={`/${environment}/${kind}/${k}`}>
          {k}
        </Link>
      </li>
    ));
  const scan = "tidegate refs scan .";
  return (
    <dl className="neighbours">
      <dt>Flags that need it</dt>
      <dd>{needers.length > 0 ? <ul>{links(needers, "flags")}</ul> : <span className="faint">none</span>}</dd>
      {needs.length > 0 && (
        <>
          <dt>Flags that it needs</dt>
          <dd>
            <ul>{links(needs, "flags")}</ul>
          </dd>
        </>
      )}
      <dt>Segments</dt>
      <dd>{segments.size > 0 ? <ul>{links(segments, "segments")}</ul> : <span className="faint">none</span>}</dd>
      <dt>Rollouts</dt>
      <dd className="stack tight">
        {all.length > 0 ? <ul>{links(all, "rollouts")}</ul> : <span className="faint">none</span>}
      </dd>
      <dt>In code</dt>
      <dd className="row tight fixed">
        <code className="truncate" title="Run it where your code is: it lists the places that name a flag">
          {scan}
        </code>
        <CopyButton text={scan} label="Copy the command" />
      </dd>
    </dl>
  );
}
