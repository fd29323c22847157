import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import {
  Denominator,
  Direction,
  EdgeBreakerSchema,
  type Rollout,
  RolloutSchema,
  type Stage,
  StageSchema,
  Statistic,
  Strategy,
  type Success,
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
  // Empty: what the outcome serves.
  control: string;
  treatment: string;
  strategy: Strategy;
  // Empty: those of the strategy.
  stages: StageText[];
  guardrails: string[];
  // The success metric; empty: none.
  metric: string;
  statistic: Statistic;
  better: Direction;
  denominator: Denominator;
  // The verdict's error, and the difference that matters, in per cent; empty: the server's.
  alpha: string;
  relevant: string;
  // Of an experiment; empty: it runs on.
  giveUpAfter: string;
  unit: Unit;
  // The share that keeps the control, and the budget, in per cent; empty: the server's.
  holdback: string;
  bake: string;
  budget: string;
  edgeBreaker: boolean;
  edgeAfter: string;
  owner: string;
  description: string;
  notify: string[];
};

export type StageText = { percent: string; dwell: string; manual: boolean };

export const noStart: Start = {
  key: "",
  flag: "",
  rule: "",
  control: "",
  treatment: "",
  strategy: Strategy.CANARY,
  stages: [],
  guardrails: ["errors: rate < +50% relative"],
  metric: "",
  statistic: Statistic.RATE,
  better: Direction.INCREASE,
  denominator: Denominator.EXPOSURES,
  alpha: "",
  relevant: "",
  giveUpAfter: "",
  unit: Unit.SUBJECT,
  holdback: "",
  bake: "",
  budget: "",
  edgeBreaker: true,
  edgeAfter: "",
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
    control: s.control,
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
  const fields = new Fields(problems);
  const holdback = fields.percent("holdback", s.holdback);
  if (holdback !== undefined) rollout.holdback = Math.round(holdback * 10_000);
  rollout.bake = fields.duration("bake", s.bake);
  rollout.falseRollbackBudget = fields.percent("false_rollback_budget", s.budget) ?? 0;
  rollout.edgeBreaker = s.edgeBreaker
    ? create(EdgeBreakerSchema, { after: fields.duration("edge_breaker.after", s.edgeAfter) })
    : create(EdgeBreakerSchema, { disabled: true });
  if (s.metric.trim() !== "") rollout.success = readSuccess(s, fields);
  return { rollout, problems };
}

function readSuccess(s: Start, fields: Fields): Success {
  return create(SuccessSchema, {
    metric: s.metric.trim(),
    statistic: s.statistic,
    better: s.better,
    // A mean is of values: it has none.
    denominator: s.statistic === Statistic.RATE ? s.denominator : Denominator.UNSPECIFIED,
    alpha: fields.percent("success.alpha", s.alpha),
    relevantDifference: fields.percent("success.relevant_difference", s.relevant),
    giveUpAfter:
      s.strategy === Strategy.EXPERIMENT ? fields.duration("success.give_up_after", s.giveUpAfter) : undefined,
  });
}

// Reads what was typed; empty: undefined. What cannot be read is a problem of its field.
class Fields {
  constructor(private readonly problems: Map<string, string>) {}

  percent(path: string, text: string): number | undefined {
    const number = text.trim().replace(/\s*%$/, "");
    if (number === "") return undefined;
    if (/^\d{1,4}(\.\d{1,4})?$/.test(number)) return Number(`${number}e-2`);
    this.problems.set(path, `“${text}” is not a share: write per cent, such as 2 or 0.5.`);
    return undefined;
  }

  duration(path: string, text: string): Duration | undefined {
    if (text.trim() === "") return undefined;
    const read = readDuration(text.trim());
    if (!read) this.problems.set(path, `“${text}” is not a time: write 30s, 10m or 2h.`);
    return read;
  }
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

export const percentText = (share: number) => (share === 0 ? "" : String(Number((share * 100).toPrecision(12))));
export const durationText = (d: Duration | undefined) => (d ? formatDuration(d) : "");

// The same again, under another key. What is served now may be something else than it was: the
// control is left to the flag.
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
    denominator: r.success?.denominator || Denominator.EXPOSURES,
    alpha: r.success ? percentText(r.success.alpha) : "",
    relevant: r.success ? percentText(r.success.relevantDifference) : "",
    giveUpAfter: durationText(r.success?.giveUpAfter),
    unit: r.unit || Unit.SUBJECT,
    holdback: r.holdback === undefined ? "" : String(r.holdback / 100),
    bake: durationText(r.bake),
    budget: percentText(r.falseRollbackBudget),
    edgeBreaker: !r.edgeBreaker?.disabled,
    edgeAfter: durationText(r.edgeBreaker?.after),
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
