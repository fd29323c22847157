import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { notifications } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { Field, Input, Note, Select } from "../../components/basics";
import { Chips } from "../../components/chips";
import { Direction, Statistic, Unit } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { audience } from "../../lib/served-words";
import { nextKey, problemAt, type Start } from "../../lib/start";
import { capital } from "../../lib/words";
import { useWholeFlag } from "./use-rollout";

type Fields = { start: Start; set: (change: Partial<Start>) => void; problems: ReadonlyMap<string, string> };

// Which flag, which variant, which outcome of it, and what the rollout is called.
export function What({ start, set, problems }: Fields) {
  const environment = useEnvironment();
  const flags = useLive((l) => l.flags);
  const existing = useLive((l) => l.rollouts);
  const flag = flags.get(start.flag);
  // They may be thousands, and are the same as somebody types elsewhere.
  const choices = useMemo(() => [...flags.keys()].sort().map((k) => <option key={k}>{k}</option>), [flags]);
  const whole = useWholeFlag(environment, flag);
  const taken = existing.has(start.key)
    ? "There is a rollout of this key already; keys are taken for ever."
    : undefined;
  return (
    <div className="stack">
      <Field label="Flag" problem={problemAt(problems, "flag_key")}>
        {(ids) => (
          <Select
            {...ids}
            value={start.flag}
            onChange={(e) => {
              const to = flags.get(e.target.value);
              const own = start.key === "" || start.key.startsWith(`${start.flag}-`);
              set({
                flag: e.target.value,
                rule: "",
                treatment: to?.variants.find((v) => v !== to.defaultVariant && v !== to.offVariant) ?? "",
                owner: start.owner || to?.owner || "",
                key: own ? nextKey(e.target.value, (k) => existing.has(k)) : start.key,
              });
            }}
          >
            <option value="">Choose a flag</option>
            {start.flag && !flag && <option>{start.flag}</option>}
            {choices}
          </Select>
        )}
      </Field>
      {flag && !flag.enabled && (
        <Note tone="warn">
          <span>This flag is off: it has to be on before a rollout can start.</span>
        </Note>
      )}
      <div className="row top">
        <Field label="Variant that shall be served" problem={problemAt(problems, "treatment")}>
          {(ids) => (
            <Select {...ids} value={start.treatment} onChange={(e) => set({ treatment: e.target.value })}>
              <option value="">Choose a variant</option>
              {(flag?.variants ?? (start.treatment ? [start.treatment] : [])).map((v) => (
                <option key={v}>{v}</option>
              ))}
            </Select>
          )}
        </Field>
        <Field label="To whom" problem={problemAt(problems, "rule")}>
          {(ids) => (
            <Select {...ids} value={start.rule} onChange={(e) => set({ rule: e.target.value })}>
              <option value="">{capital(audience("", flag?.rules))}</option>
              {(whole?.rules ?? []).map((r) => (
                <option key={r.id} value={r.id}>
                  Those of the rule “{r.id}”
                </option>
              ))}
            </Select>
          )}
        </Field>
      </div>
      <Field
        label="Key"
        hint="What the rollout is called. It stays taken, also when it is over."
        problem={taken ?? problemAt(problems, "key")}
      >
        {(ids) => (
          <Input
            {...ids}
            className="mono"
            spellCheck={false}
            autoComplete="off"
            value={start.key}
            onChange={(e) => set({ key: e.target.value })}
          />
        )}
      </Field>
    </div>
  );
}

// What the treatment is meant to improve.
export function SuccessFields({ start, set, problems }: Fields) {
  return (
    <div className="stack">
      <div className="row top">
        <Field
          label="Metric"
          hint="As your code names it when it tells what happened."
          problem={problemAt(problems, "success.metric") ?? problems.get("success")}
        >
          {(ids) => (
            <Input
              {...ids}
              className="mono"
              spellCheck={false}
              placeholder="purchases"
              value={start.metric}
              onChange={(e) => set({ metric: e.target.value })}
            />
          )}
        </Field>
        <Field label="What is compared">
          {(ids) => (
            <Select {...ids} value={start.statistic} onChange={(e) => set({ statistic: Number(e.target.value) })}>
              <option value={Statistic.RATE}>Rate at which it happens</option>
              <option value={Statistic.MEAN}>Mean of its values</option>
            </Select>
          )}
        </Field>
        <Field label="Better when it">
          {(ids) => (
            <Select {...ids} value={start.better} onChange={(e) => set({ better: Number(e.target.value) })}>
              <option value={Direction.INCREASE}>rises</option>
              <option value={Direction.DECREASE}>falls</option>
            </Select>
          )}
        </Field>
      </div>
    </div>
  );
}

// What is seldom changed.
export function More({ start, set, problems }: Fields) {
  const targets = useQuery({
    queryKey: ["notification-targets"],
    queryFn: async () => (await notifications.listNotificationTargets({})).targets.map((t) => t.name),
    retry: false,
  });
  return (
    <details className="card more-fields">
      <summary>Owner, counting, whom to tell</summary>
      <div className="body stack">
        <Field label="Owner" hint="The team or person to ask." problem={problemAt(problems, "owner")}>
          {(ids) => <Input {...ids} value={start.owner} onChange={(e) => set({ owner: e.target.value })} />}
        </Field>
        <Field label="Description" problem={problemAt(problems, "description")}>
          {(ids) => <Input {...ids} value={start.description} onChange={(e) => set({ description: e.target.value })} />}
        </Field>
        <Field
          label="What counts once"
          hint="A subject, in each second or 10 min, unless its requests are independent of each other."
          problem={problemAt(problems, "unit")}
        >
          {(ids) => (
            <Select {...ids} value={start.unit} onChange={(e) => set({ unit: Number(e.target.value) })}>
              <option value={Unit.SUBJECT}>A subject, for a while</option>
              <option value={Unit.REQUEST}>A request</option>
            </Select>
          )}
        </Field>
        <Field label="Whom to tell" hint="Notification targets of the control server. None: all of them.">
          {(ids) => (
            <Chips
              {...ids}
              label="Whom to tell"
              values={start.notify}
              suggestions={targets.data}
              add={(texts) => {
                set({ notify: [...new Set([...start.notify, ...texts])] });
                return undefined;
              }}
              remove={(i) => set({ notify: start.notify.filter((_, at) => at !== i) })}
              problem={problemAt(problems, "notify")}
            />
          )}
        </Field>
      </div>
    </details>
  );
}
