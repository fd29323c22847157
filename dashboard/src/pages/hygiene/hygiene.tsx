import "./hygiene.css";
import { Sparkles } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useSession } from "../../api/session";
import { useEnvironment, useSettings } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { Ago, Button, Card, Empty, Field, Loading, Select } from "../../components/basics";
import { Command } from "../../components/command";
import { PageHead } from "../../components/page";
import { ProblemNote } from "../../components/problem";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import { plural } from "../../lib/numbers";
import { dateOf, span } from "../../lib/time";
import { byOwner, counts, findAll, type Problem, problemHelp, problemNames, problems, summaryWords } from "./findings";
import { FlagFindings } from "./flag-findings";
import { PermanentDialog } from "./permanent-dialog";
import { type HygieneQuery, readQuery, writeQuery } from "./query";
import { useStale } from "./use-stale";

const day = 86_400;
export default function Hygiene() {
  const environment = useEnvironment();
  const session = useSession();
  const flags = useLive((l) => l.flags);
  const activities = useLive((l) => l.activities);
  const ready = useLive((l) => l.ready);
  const settings = useSettings(environment);
  const [, navigate] = useLocation();
  const search = useSearch();
  const query = useMemo(() => readQuery(search), [search]);
  const stale = useStale(environment, query);
  const [keeping, setKeeping] = useState<string>();
  const policy = settings.data?.settings?.flagPolicy;
  const found = useMemo(() => findAll(flags.values(), stale.data?.flags ?? [], policy), [flags, stale.data, policy]);
  const ask = useCallback(
    (change: Partial<HygieneQuery>) => {
      const text = writeQuery({ ...query, ...change });
      navigate(`/${environment}/hygiene${text ? `?${text}` : ""}`, { replace: true });
    },
    [query, environment, navigate],
  );
  const shown = found.filter(
    (f) =>
      (!query.problem || f.findings.some((x) => x.problem === query.problem)) &&
      (!query.owner || f.flag.owner === query.owner),
  );
  const owners = byOwner(found).map((o) => o.owner);
  const known = ready && stale.data !== undefined && settings.data !== undefined;
  const failure = known ? undefined : (stale.error ?? settings.error);
  const again = () => void Promise.all([stale.refetch(), settings.refetch()]);
  const writer = settings.data?.settings?.protected ? Role.OPERATOR : Role.EDITOR;

  return (
    <div className="page">
      <PageHead title="Hygiene" tab={`Hygiene · ${environment}`}>
        {summaryWords({ known, failed: !!failure, found: found.length, flags: flags.size })}
      </PageHead>
      {failure && <ProblemNote failure={failure} again={again} />}
      <Tiles counts={counts(found)} known={known} chosen={query.problem} choose={(problem) => ask({ problem })} />
      <Standards query={query} owners={owners} ask={ask} />
      {!known && !failure ? (
        <Card>
          <Loading rows={7} label="Looking through the flags" />
        </Card>
      ) : failure && found.length === 0 ? null : shown.length === 0 ? (
        <Card>
          <Empty icon={Sparkles} title={found.length === 0 ? "Nothing to tidy up" : "No flag is like that"}>
            {found.length > 0 && <Button onClick={() => ask({ problem: "", owner: "" })}>Show all</Button>}
          </Empty>
        </Card>
      ) : (
        byOwner(shown).map((o) => (
          <Card
            key={o.owner}
            title={o.owner || "Nobody’s"}
            actions={<span className="small soft">{plural(o.found.length, "flag")}</span>}
            flush
          >
            <ul>
              {o.found.map((f) => (
                <FlagFindings
                  key={f.flag.key}
                  found={f}
                  activity={activities.get(f.flag.key)}
                  environment={environment}
                  onKeep={session.may(writer, environment, f.flag.key) ? setKeeping : undefined}
                />
              ))}
            </ul>
          </Card>
        ))
      )}
      {known && <Elsewhere environment={environment} />}
      <p className="small faint" hidden={!known}>
        {stale.data?.countedSince ? (
          <>
            Evaluations are counted since <Ago at={dateOf(stale.data.countedSince)} />: no flag is called unused for
            longer than that.
          </>
        ) : (
          "It is not known yet which flags are evaluated: relays tell it once a minute."
        )}{" "}
        What SDKs that evaluate in process serve is not known.
      </p>
      {keeping !== undefined && (
        <PermanentDialog
          flagKey={keeping}
          environment={environment}
          onClose={() => setKeeping(undefined)}
          onDone={() => void stale.refetch()}
        />
      )}
    </div>
  );
}

function Tiles({
  counts,
  known,
  chosen,
  choose,
}: {
  counts: Record<Problem, number>;
  // None found is none there.
  known: boolean;
  chosen: Problem | "";
  choose: (p: Problem | "") => void;
}) {
  return (
    <div className="tiles" role="group" aria-label="What there is to tidy up">
      {problems.map((p) => (
        <button
          key={p}
          type="button"
          className="tile"
          title={problemHelp[p]}
          aria-pressed={chosen === p}
          disabled={counts[p] === 0 && chosen !== p}
          onClick={() => choose(chosen === p ? "" : p)}
        >
          <strong className="num">{known || counts[p] > 0 ? counts[p] : "–"}</strong>
          <span className="small">{problemNames[p]}</span>
        </button>
      ))}
    </div>
  );
}

function Standards({
  query,
  owners,
  ask,
}: {
  query: HygieneQuery;
  owners: string[];
  ask: (change: Partial<HygieneQuery>) => void;
}) {
  return (
    <search className="standards">
      <Field label="Owner">
        {(ids) => (
          <Select {...ids} value={query.owner} onChange={(e) => ask({ owner: e.target.value })}>
            <option value="">Everybody</option>
            {owners.filter(Boolean).map((o) => (
              <option key={o}>{o}</option>
            ))}
          </Select>
        )}
      </Field>
      <Times
        label="Not evaluated for"
        usual={14 * day}
        value={query.unusedFor}
        choose={(unusedFor) => ask({ unusedFor })}
      />
      <Times
        label="Same for everyone for"
        usual={30 * day}
        value={query.constantFor}
        choose={(constantFor) => ask({ constantFor })}
      />
    </search>
  );
}

function Times(props: { label: string; usual: number; value: number; choose: (s: number) => void }) {
  const all = [...new Set([3600, day, 7 * day, 14 * day, 30 * day, 90 * day, props.value || props.usual])].sort(
    (a, b) => a - b,
  );
  return (
    <Field label={props.label}>
      {(ids) => (
        <Select
          {...ids}
          value={props.value || props.usual}
          onChange={(e) => props.choose(Number(e.target.value) === props.usual ? 0 : Number(e.target.value))}
        >
          {all.map((s) => (
            <option key={s} value={s}>
              {span(s)}
            </option>
          ))}
        </Select>
      )}
    </Field>
  );
}

// Where else to look before a flag is deleted.
function Elsewhere({ environment }: { environment: string }) {
  return (
    <Card title="Before you delete a flag">
      <div className="before-deletion">
        <div className="stack tight">
          <h3>Is it still in the code?</h3>
          <p className="small soft">Finds where each flag is used below a folder, in any language.</p>
          <Command>tidegate refs scan .</Command>
        </div>
        <div className="stack tight">
          <h3>What must be tested together?</h3>
          <p className="small soft">Few combinations of variants that cover every pair of some flags.</p>
          <Command>{`tidegate matrix --prefix checkout. -e ${environment}`}</Command>
        </div>
        <div className="stack tight">
          <h3>Who uses what it decides?</h3>
          <p className="small soft">
            The page of each flag shows its evaluations, what refers to it, and who changed it:{" "}
            <Link href={`/${environment}/flags?state=stale`}>stale flags as a list</Link>.
          </p>
        </div>
      </div>
    </Card>
  );
}
