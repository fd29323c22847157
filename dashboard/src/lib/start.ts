import { create } from "@bufbuild/protobuf";
import {
  Direction,
  type Rollout,
  RolloutSchema,
  type Stage,
  StageSchema,
  Statistic,
  Strategy,
  SuccessSchema,
  Unit,
} from "../gen/tidegate/rollout/v1/rollout_pb";
import { formatGuardrail, parseGuardrail } from "./guardrail-text";
import { formatDuration, readDuration } from "./yaml/duration";

// A rollout as it is written in the form: texts, as they were typed.
export type Start = {
  key: string;
  flag: string;
  // Empty: the default outcome.
  rule: string;
  treatment: string;
  strategy: Strategy;
  // Empty: those of the strategy.
  stages: StageText[];
  guardrails: string[];
  // The success metric; empty: none.
  metric: string;
  statistic: Statistic;
  better: Direction;
  unit: Unit;
  owner: string;
  description: string;
  notify: string[];
};

export type StageText = { percent: string; dwell: string; manual: boolean };

export const noStart: Start = {
  key: "",
  flag: "",
  rule: "",
  treatment: "",
  strategy: Strategy.CANARY,
  stages: [],
  guardrails: ["errors: rate < +50% relative"],
  metric: "",
  statistic: Statistic.RATE,
  better: Direction.INCREASE,
  unit: Unit.SUBJECT,
  owner: "",
  description: "",
  notify: [],
};

// The first key of this flag that is free.
export function nextKey(flag: string, taken: (key: string) => boolean): string {
  for (let n = 1; ; n++) if (!taken(`${flag}-${n}`)) return `${flag}-${n}`;
}

// What is asked of the server; and what cannot be, by the path of its field.
export function toRollout(s: Start): { rollout: Rollout; problems: Map<string, string> } {
  const problems = new Map<string, string>();
  const rollout = create(RolloutSchema, {
    key: s.key,
    flagKey: s.flag,
    rule: s.rule,
    treatment: s.treatment,
    strategy: s.strategy,
    unit: s.unit,
    owner: s.owner,
    description: s.description,
    notify: s.notify,
  });
  s.guardrails.forEach((text, i) => {
    const parsed = parseGuardrail(text);
    if ("problem" in parsed) problems.set(`guardrails[${i}]`, parsed.problem);
    else rollout.guardrails.push(parsed.guardrail);
  });
  s.stages.forEach((stage, i) => {
    const read = readStage(stage);
    if (typeof read === "string") problems.set(`stages[${i}]`, read);
    else rollout.stages.push(read);
  });
  if (s.metric.trim() !== "")
    rollout.success = create(SuccessSchema, { metric: s.metric.trim(), statistic: s.statistic, better: s.better });
  return { rollout, problems };
}

function readStage(s: StageText): Stage | string {
  const percent = s.percent.trim().replace(/%$/, "");
  if (!/^\d{1,3}(\.\d{1,2})?$/.test(percent) || Number(percent) > 100)
    return "A share is 0 to 100 per cent, with two digits after the point at most.";
  const minDwell = s.dwell.trim() === "" ? undefined : readDuration(s.dwell.trim());
  if (s.dwell.trim() !== "" && !minDwell) return `“${s.dwell}” is not a time: write 30s, 10m or 2h.`;
  return create(StageSchema, { weight: Math.round(Number(percent) * 100), minDwell, manual: s.manual });
}

export function stageTexts(stages: Stage[]): StageText[] {
  return stages.map((s) => ({
    percent: String(s.weight / 100),
    dwell: s.minDwell ? formatDuration(s.minDwell) : "",
    manual: s.manual,
  }));
}

// The same again, under another key.
export function fromRollout(r: Rollout, key: string): Start {
  return {
    ...noStart,
    key,
    flag: r.flagKey,
    rule: r.rule,
    treatment: r.treatment,
    strategy: r.strategy,
    stages: stageTexts(r.stages),
    guardrails: r.guardrails.map((g) => `${g.name}: ${formatGuardrail(g)}`),
    metric: r.success?.metric ?? "",
    statistic: r.success?.statistic ?? Statistic.RATE,
    better: r.success?.better || Direction.INCREASE,
    unit: r.unit || Unit.SUBJECT,
    owner: r.owner,
    description: r.description,
    notify: [...r.notify],
  };
}

// The problem of a field, or of something in it.
export function problemAt(problems: ReadonlyMap<string, string>, path: string): string | undefined {
  for (const [field, problem] of problems)
    if (field === path || field.startsWith(`${path}.`))
      return field === path ? problem : `${field.slice(path.length + 1).replaceAll("_", " ")} ${problem}`;
  return undefined;
}
