import { create } from "@bufbuild/protobuf";
import {
  Action,
  Denominator,
  Direction,
  type Guardrail,
  GuardrailSchema,
  type Margin,
  MarginSchema,
  Statistic,
} from "../gen/tidegate/rollout/v1/rollout_pb";

/* How people write a guardrail, as the command line reads it:

     NAME: STATISTIC[(METRIC)] < +MARGIN[, OPTION]...

   Whether it makes sense is the server's to say. */
export const guardrailExample = "errors: rate < +5% relative";

const words: [string, Statistic][] = [
  ["rate", Statistic.RATE],
  ["mean", Statistic.MEAN],
  ["misprediction", Statistic.MISPREDICTION],
  ["f1", Statistic.F1],
  ["false-discovery", Statistic.FALSE_DISCOVERY],
  ["miss", Statistic.MISS],
  ["drift", Statistic.DRIFT],
];

const number = /^[0-9]{1,30}(\.[0-9]{1,30})?$/;

export type Parsed = { guardrail: Guardrail } | { problem: string };

class Wrong extends Error {}

export function parseGuardrail(text: string): Parsed {
  const colon = text.indexOf(":");
  if (colon < 0) return { problem: `Write it as NAME: STATISTIC < +MARGIN, such as “${guardrailExample}”.` };
  const g = create(GuardrailSchema, { name: text.slice(0, colon).trim() });
  const [head = "", ...options] = text.slice(colon + 1).split(",");
  try {
    const at = head.search(/[<>]/);
    statistic(g, (at < 0 ? head : head.slice(0, at)).trim());
    if (g.metric === "") g.metric = g.name;
    bound(g, at < 0 ? "" : (head[at] ?? ""), at < 0 ? "" : head.slice(at + 1).trim());
    for (const o of options) option(g, o.trim().split(/\s+/));
    return { guardrail: g };
  } catch (wrong) {
    if (wrong instanceof Wrong) return { problem: wrong.message };
    throw wrong;
  }
}

function statistic(g: Guardrail, text: string) {
  const m = /^([^(]*?)\s*(?:\(([^)]*)\))?$/.exec(text);
  const word = m?.[1] ?? "";
  if (!m || m[2]?.trim() === "") throw new Wrong(`“${text}”: write STATISTIC(METRIC), such as rate(checkout-errors).`);
  g.metric = m[2]?.trim() ?? "";
  const known = words.find(([w]) => w === word);
  if (known) {
    g.statistic = known[1];
    return;
  }
  if (!word.startsWith("p") || !number.test(word.slice(1)))
    throw new Wrong(
      `“${word}” is not a statistic: rate, mean, p99 (or another quantile), misprediction, f1, false-discovery, miss or drift.`,
    );
  g.statistic = Statistic.QUANTILE;
  g.quantile = Number(`${word.slice(1)}e-2`);
}

function bound(g: Guardrail, relation: string, text: string) {
  if (g.statistic === Statistic.F1) {
    const m = /^([0-9.]+)\s*(?:-\s*([0-9.]+))?$/.exec(text);
    if (relation !== ">" || !m || !number.test(m[1] ?? "") || (m[2] && !number.test(m[2])))
      throw new Wrong("Write the F1 to reach, such as “f1 > 0.8” or “f1 > 0.8 -0.02”.");
    g.worse = Direction.DECREASE;
    g.reference = Number(m[1]);
    g.margin = margin("absolute", Number(m[2] ?? 0));
    return;
  }
  if (g.statistic === Statistic.DRIFT) {
    g.worse = Direction.INCREASE;
    if (relation === "") return;
    if (relation !== "<" || !number.test(text))
      throw new Wrong("Write a PSI, such as “drift < 0.1”, or “drift” alone.");
    g.margin = margin("absolute", Number(text));
    return;
  }
  if (relation === "") throw new Wrong(`How much worse it may be is missing: write “${guardrailExample}”.`);
  const sign = relation === "<" ? "+" : "-";
  if (!text.startsWith(sign))
    throw new Wrong(
      `After “${relation}” comes the difference to the control, such as “${relation} ${sign}5% relative”.`,
    );
  g.worse = relation === "<" ? Direction.INCREASE : Direction.DECREASE;
  g.margin = readMargin(text.slice(1).trim());
}

function margin(unit: "relative" | "percentagePoints" | "absolute" | "seconds", value: number): Margin {
  return create(MarginSchema, { unit: { case: unit, value } });
}

function readMargin(text: string): Margin {
  const m = /^([0-9.]+)\s*(%\s*relative|pp|us|ms|s|)$/.exec(text);
  const amount = m?.[1] ?? "";
  if (/^[0-9.]+%$/.test(text))
    throw new Wrong(
      `“${text}” could be two things: “${text} relative” is of the control’s value, “${text.slice(0, -1)}pp” are percentage points.`,
    );
  if (!m || !number.test(amount))
    throw new Wrong(`“${text}” is not a margin: write it such as 5% relative, 0.5pp, 100ms or 12.5.`);
  switch (m[2]?.[0]) {
    case "%":
      return margin("relative", Number(`${amount}e-2`));
    case "p":
      return margin("percentagePoints", Number(amount));
    case "u":
      return margin("seconds", Number(`${amount}e-6`));
    case "m":
      return margin("seconds", Number(`${amount}e-3`));
    case "s":
      return margin("seconds", Number(amount));
    default:
      return margin("absolute", Number(amount));
  }
}

function option(g: Guardrail, parts: string[]) {
  const [word, ...rest] = parts;
  const text = parts.join(" ");
  if (text === "of observations") g.denominator = Denominator.OBSERVATIONS;
  else if (text === "of exposures") g.denominator = Denominator.EXPOSURES;
  else if (text === "hold") g.action = Action.HOLD;
  else if (text === "rollback") g.action = Action.ROLLBACK;
  else if (word === "weight" && rest.length === 1 && number.test(rest[0] ?? "") && Number(rest[0]) > 0)
    g.weight = Number(rest[0]);
  else if (word === "by" && rest.length === 1) g.segmentBy = rest[0] ?? "";
  else if (word === "ratios" && rest.length > 0 && rest.every((r) => number.test(r)))
    g.promotionRatios = rest.map(Number);
  else
    throw new Wrong(
      `“${text}” is not an option: “of observations”, “hold”, “weight 4”, “by ATTRIBUTE” or “ratios 5 3 2”.`,
    );
}

// A number without the noise of its digits.
const plain = (v: number) => String(Number(v.toPrecision(12)));

export function marginText(m: Margin | undefined): string {
  const unit = m?.unit;
  switch (unit?.case) {
    case "relative":
      return `${plain(unit.value * 100)}% relative`;
    case "percentagePoints":
      return `${plain(unit.value)}pp`;
    case "seconds":
      return unit.value < 1 ? `${plain(unit.value * 1000)}ms` : `${plain(unit.value)}s`;
    case "absolute":
      return plain(unit.value);
    default:
      return "";
  }
}

// What parseGuardrail reads as the same guardrail, without the name.
export function formatGuardrail(g: Guardrail): string {
  const word =
    g.statistic === Statistic.QUANTILE
      ? `p${plain(g.quantile * 100)}`
      : (words.find(([, s]) => s === g.statistic)?.[0] ?? "rate");
  let out = g.metric && g.metric !== g.name ? `${word}(${g.metric})` : word;
  const amount = marginText(g.margin);
  if (g.statistic === Statistic.F1) out += ` > ${plain(g.reference)}${amount && amount !== "0" ? ` -${amount}` : ""}`;
  else if (g.statistic === Statistic.DRIFT) out += amount ? ` < ${amount}` : "";
  else out += g.worse === Direction.DECREASE ? ` > -${amount}` : ` < +${amount}`;
  if (g.denominator === Denominator.OBSERVATIONS) out += ", of observations";
  if (g.weight !== 0 && g.weight !== 1) out += `, weight ${plain(g.weight)}`;
  if (g.action === Action.HOLD && g.statistic !== Statistic.DRIFT) out += ", hold";
  if (g.segmentBy) out += `, by ${g.segmentBy}`;
  if (g.promotionRatios.length > 0 && !usualRatios(g.promotionRatios))
    out += `, ratios ${g.promotionRatios.map(plain).join(" ")}`;
  return out;
}

const usual = [5, 3, 2, 1.5];

// As the server fills them in: the usual ones, or what the margin allows where that is more.
function usualRatios(ratios: number[]): boolean {
  const allowed = Math.min(...ratios);
  return ratios.length === usual.length && ratios.every((r, i) => r === Math.max(usual[i] ?? 1, allowed));
}
