import { create } from "@bufbuild/protobuf";
import { Plus, Trash2 } from "lucide-react";
import { Button, IconButton, Input, Select } from "../../components/basics";
import {
  Action,
  Denominator,
  Direction,
  type Guardrail,
  MarginSchema,
  Statistic,
} from "../../gen/tidegate/rollout/v1/rollout_pb";
import { formatGuardrail, parseGuardrail } from "../../lib/guardrail-text";
import { problemAt } from "../../lib/start";

// What can be built without knowing how it is written: the rest is written.
const simple = [
  { value: "rate", label: "rate of", statistic: Statistic.RATE, quantile: 0 },
  { value: "mean", label: "mean of", statistic: Statistic.MEAN, quantile: 0 },
  { value: "p95", label: "95th percentile of", statistic: Statistic.QUANTILE, quantile: 0.95 },
  { value: "p99", label: "99th percentile of", statistic: Statistic.QUANTILE, quantile: 0.99 },
];

const units = [
  { value: "relative", label: "% of the control’s value", factor: 100 },
  { value: "percentagePoints", label: "percentage points", factor: 1 },
  { value: "seconds", label: "ms", factor: 1000 },
  { value: "absolute", label: "in its own unit", factor: 1 },
] as const;

// Guardrails: each as a line that one can write, and as fields that write it.
export function GuardrailsEditor(props: {
  lines: string[];
  problems: ReadonlyMap<string, string>;
  onChange: (lines: string[]) => void;
}) {
  const { lines, problems, onChange } = props;
  const put = (i: number, text: string) => onChange(lines.map((l, at) => (at === i ? text : l)));
  return (
    <div className="stack">
      {lines.map((line, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a place in a list that is written
        <div className="stack tight guardrail-edit" key={i}>
          <Builder line={line} place={i + 1} onChange={(text) => put(i, text)} />
          <div className="guardrail-line">
            <Input
              className="mono"
              aria-label={`Guardrail ${i + 1}, as a line`}
              aria-invalid={problemAt(problems, `guardrails[${i}]`) ? true : undefined}
              spellCheck={false}
              value={line}
              onChange={(e) => put(i, e.target.value)}
            />
            <IconButton
              icon={Trash2}
              small
              label={`Remove guardrail ${i + 1}`}
              onClick={() => onChange(lines.filter((_, at) => at !== i))}
            />
          </div>
          {problemAt(problems, `guardrails[${i}]`) && (
            <span className="problem small">{problemAt(problems, `guardrails[${i}]`)}</span>
          )}
        </div>
      ))}
      {problemAt(problems, "guardrails") && <span className="problem small">{problemAt(problems, "guardrails")}</span>}
      <div>
        <Button
          small
          onClick={() => onChange([...lines, `${lines.length === 0 ? "errors" : "slow"}: rate < +50% relative`])}
        >
          <Plus size={14} aria-hidden /> Guardrail
        </Button>
      </div>
    </div>
  );
}

function Builder({ line, place, onChange }: { line: string; place: number; onChange: (text: string) => void }) {
  const parsed = parseGuardrail(line);
  if ("problem" in parsed) return null;
  const g = parsed.guardrail;
  const kind = simple.find((s) => s.statistic === g.statistic && s.quantile === g.quantile);
  const unit = units.find((u) => u.value === g.margin?.unit.case);
  if (!kind || !unit) return <span className="small soft">This one is written as a line.</span>;
  const amount = Number(((g.margin?.unit.value as number) * unit.factor).toPrecision(12));
  const write = (change: Partial<Guardrail>) => {
    const next = { ...g, ...change } as Guardrail;
    onChange(`${next.name}: ${formatGuardrail(next)}`);
  };
  const margin = (value: (typeof units)[number]["value"], n: number) => {
    const factor = units.find((u) => u.value === value)?.factor ?? 1;
    return create(MarginSchema, { unit: { case: value, value: Number((n / factor).toPrecision(12)) } });
  };
  return (
    <>
      <div className="row tight builder">
        <span className="small">The</span>
        <Select
          aria-label={`Guardrail ${place}: statistic`}
          value={kind.value}
          onChange={(e) => {
            const to = simple.find((s) => s.value === e.target.value);
            if (to) write({ statistic: to.statistic, quantile: to.quantile });
          }}
        >
          {simple.map((s) => (
            <option key={s.value} value={s.value}>
              {s.label}
            </option>
          ))}
        </Select>
        <Input
          className="mono"
          aria-label={`Guardrail ${place}: metric`}
          value={g.metric}
          size={12}
          spellCheck={false}
          onChange={(e) => write({ metric: e.target.value, name: g.name === g.metric ? e.target.value : g.name })}
        />
        <Select
          aria-label={`Guardrail ${place}: which way is worse`}
          value={g.worse}
          onChange={(e) => write({ worse: Number(e.target.value) })}
        >
          <option value={Direction.INCREASE}>rises by less than</option>
          <option value={Direction.DECREASE}>falls by less than</option>
        </Select>
        <Input
          type="number"
          min={0}
          step="any"
          aria-label={`Guardrail ${place}: margin`}
          value={amount}
          onChange={(e) => write({ margin: margin(unit.value, Math.max(0, Number(e.target.value) || 0)) })}
        />
        <Select
          aria-label={`Guardrail ${place}: unit of the margin`}
          value={unit.value}
          onChange={(e) => write({ margin: margin(e.target.value as typeof unit.value, amount) })}
        >
          {units.map((u) => (
            <option key={u.value} value={u.value}>
              {u.label}
            </option>
          ))}
        </Select>
      </div>
      <Options guardrail={g} place={place} write={write} />
    </>
  );
}

// What comes of a breach, and of whom and what it is looked for.
function Options({
  guardrail: g,
  place,
  write,
}: {
  guardrail: Guardrail;
  place: number;
  write: (change: Partial<Guardrail>) => void;
}) {
  return (
    <div className="row tight builder small soft">
      <span>If it is worse,</span>
      <Select
        aria-label={`Guardrail ${place}: what a breach does`}
        value={g.action === Action.HOLD ? Action.HOLD : Action.ROLLBACK}
        onChange={(e) => write({ action: Number(e.target.value) })}
      >
        <option value={Action.ROLLBACK}>shut the rollout</option>
        <option value={Action.HOLD}>stop, and wait for a person</option>
      </Select>
      {g.statistic === Statistic.RATE && (
        <Select
          aria-label={`Guardrail ${place}: of what it is a share`}
          value={g.denominator === Denominator.OBSERVATIONS ? Denominator.OBSERVATIONS : Denominator.EXPOSURES}
          onChange={(e) => write({ denominator: Number(e.target.value) })}
        >
          <option value={Denominator.EXPOSURES}>of all who are served</option>
          <option value={Denominator.OBSERVATIONS}>of what is told of it</option>
        </Select>
      )}
      <Input
        className="mono"
        aria-label={`Guardrail ${place}: attribute by which it is watched as well`}
        title="Each value of this attribute is watched by itself as well, such as country: the worst decides"
        placeholder="also by attribute"
        size={15}
        spellCheck={false}
        value={g.segmentBy}
        onChange={(e) => write({ segmentBy: e.target.value.replace(/[\s,]/g, "") })}
      />
    </div>
  );
}
