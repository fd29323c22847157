import { Activity, AlertTriangle, Eye } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { useLive } from "../../api/use-live";
import { useRefusal } from "../../api/use-write";
import { Ago, Badge, CopyButton, Switch, Unknown } from "../../components/basics";
import { PageHead } from "../../components/page";
import { PendingRequests } from "../../components/pending-requests";
import { Words } from "../../components/words";
import type { FlagActivity, FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import type { Flag } from "../../gen/tidegate/flag/v1/flag_pb";
import { explainFlag } from "../../lib/explain-flag";
import { kindWords, typeWords } from "../../lib/flag-words";
import { share } from "../../lib/rollout-words";
import { audience } from "../../lib/served-words";
import { dateOf } from "../../lib/time";
import { Evaluated } from "../flags/evaluated";
import { SwitchDialog } from "../flags/switch-dialog";

// What somebody wants to know first: what it is, whether it is on, what it does.
export function FlagHead({
  environment,
  flag,
  saved,
  summary,
  activity,
  dirty,
  maySwitch,
}: {
  environment: string;
  // As it is edited.
  flag: Flag;
  saved: Flag;
  summary: FlagSummary | undefined;
  activity: FlagActivity | undefined;
  dirty: boolean;
  maySwitch: boolean;
}) {
  const [switching, setSwitching] = useState<boolean>();
  const no = useRefusal(environment)(saved.key);
  const on = summary?.enabled ?? saved.enabled;
  return (
    <>
      <PageHead
        tab={`${saved.key} · ${environment}`}
        above={
          <div className="small">
            <Link href={`/${environment}/flags`}>Flags</Link>
          </div>
        }
        title={<span className="key">{saved.key}</span>}
        beside={<CopyButton text={saved.key} label="Copy the key" />}
        actions={
          <span className="row">
            {no === undefined && summary && summary.rollouts.length + summary.hiddenRollouts === 0 && (
              <Link className="button" href={`/${environment}/rollouts/~new?flag=${encodeURIComponent(saved.key)}`}>
                <Activity size={15} aria-hidden /> Start a rollout
              </Link>
            )}
            <strong className={on ? "on" : "soft"}>{on ? "On" : "Off"}</strong>
            <Switch
              on={on}
              busy={switching !== undefined}
              disabled={!maySwitch || !summary}
              title={maySwitch ? undefined : "You may not change this flag"}
              label={`${saved.key} is ${on ? "on" : "off"}`}
              onChange={setSwitching}
            />
          </span>
        }
      >
        <p>{flag.description || <span className="faint">No description: say in Settings what it is for.</span>}</p>
      </PageHead>
      <div className="row facts small">
        {saved.kind !== 0 && <Badge>{kindWords[saved.kind]}</Badge>}
        <Badge>{typeWords[saved.type]}</Badge>
        {saved.clientVisible && (
          <Badge tone="outline" title="Keys of clients may evaluate it: its values are public">
            <Eye size={12} aria-hidden /> visible to clients
          </Badge>
        )}
        {summary?.unusable && (
          <Badge tone="bad" title="What is stored cannot be used; the last version that could be is served">
            <AlertTriangle size={12} aria-hidden /> unusable
          </Badge>
        )}
        {activity && activity.stale.length > 0 && (
          <Link href={`/${environment}/hygiene`}>
            <Badge tone="warn">stale</Badge>
          </Link>
        )}
        {saved.tags.map((t) => (
          <Link key={t} className="badge" href={`/${environment}/flags?tag=${encodeURIComponent(t)}`}>
            {t}
          </Link>
        ))}
        <span className="soft">
          Owner: <strong>{saved.owner || "nobody"}</strong>
        </span>
        <span className="soft">
          Changed {activity ? <Ago at={dateOf(activity.updatedAt)} /> : <Unknown />}
          {activity?.updatedBy && ` by ${activity.updatedBy}`}
        </span>
        <span className="soft">
          {activity ? (
            <Evaluated at={dateOf(activity.lastEvaluatedAt)} />
          ) : (
            <>
              Evaluated <Unknown />
            </>
          )}
        </span>
      </div>
      <p className="serves">
        <Words words={explainFlag({ ...flag, enabled: on })} />
        {dirty && <span className="soft"> (as you edit it: not saved yet)</span>}
      </p>
      <RolloutsOf environment={environment} summary={summary} />
      <PendingRequests environment={environment} names={(r) => r.flagKeys.includes(saved.key)} />
      {switching !== undefined && summary && (
        <SwitchDialog flag={summary} on={switching} environment={environment} onClose={() => setSwitching(undefined)} />
      )}
    </>
  );
}

function RolloutsOf({ environment, summary }: { environment: string; summary: FlagSummary | undefined }) {
  const rollouts = useLive((l) => l.rollouts);
  return summary?.rollouts.map((key) => {
    const r = rollouts.get(key);
    const weight = r?.status?.weight;
    return (
      <Link key={key} className="rollout-strip" href={`/${environment}/rollouts/${key}`}>
        <Badge tone="accent">rollout</Badge>
        <span className="words">
          {r ? (
            <>
              <strong>{key}</strong> brings <code>{r.treatment}</code> to {audience(r.rule, summary.rules)}
              {weight !== undefined &&
                (summary.enabled ? `: ${share(weight)} now` : ": it waits while the flag is off")}
            </>
          ) : (
            <>
              <strong>{key}</strong> moves this flag
            </>
          )}
        </span>
        {weight !== undefined && (
          <span className="bar" aria-hidden>
            <span style={{ width: `${summary.enabled ? weight / 100 : 0}%`, background: "var(--accent)" }} />
          </span>
        )}
      </Link>
    );
  });
}
