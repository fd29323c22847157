import type { FlagSummary, RolloutSummary } from "../gen/tidegate/control/v1/watch_service_pb";
import type { Flag } from "../gen/tidegate/flag/v1/flag_pb";
import { State, type Status } from "../gen/tidegate/rollout/v1/rollout_pb";
import { callersDefault, outcomeWords } from "./explain-flag";
import { whereWords } from "./flag-words";
import { isOver, share } from "./rollout-words";
import { code, type Words } from "./words";

// What a rollout has to do with what is served, and to whom.

type Standing = Pick<Status, "state" | "weight">;
type Moved = Pick<RolloutSummary, "rule" | "control" | "treatment">;

// Whom a rollout moves: those of one outcome of its flag, not all. `rules` is how many the flag
// has, if that is known.
export function audience(rule: string, rules: number | undefined, matches = "matches"): string {
  if (rule !== "") return `everyone whom the rule “${rule}” ${matches}`;
  return rules === 0 ? "everyone" : `everyone whom no rule ${matches}`;
}

const offWords = (flag: { offVariant: string }): Words => [
  "everyone gets ",
  flag.offVariant ? code(flag.offVariant) : callersDefault,
];

// The share that has the treatment, first in figures.
export function shareWords(
  r: Moved,
  status: Standing | undefined,
  flag: FlagSummary | undefined,
): { big: string; words: Words } {
  const weight = status?.weight ?? 0;
  const [on, off] = [code(r.treatment), code(r.control)];
  if (status && isOver(status)) {
    const got = ` when it ended: ${audience(r.rule, flag?.rules, "matched")} got `;
    return { big: share(weight), words: [got, weight > 0 ? on : off, "."] };
  }
  const whom = audience(r.rule, flag?.rules);
  const of = whom === "everyone" ? "" : ` of ${whom}`;
  const others: Words = weight === 0 ? [`: ${whom} gets `, off] : weight === 10_000 ? [] : [", the others ", off];
  const get: Words = [`${weight === 0 ? "" : of} get `, on, ...others, ...(flag ? whereWords(flag) : []), "."];
  if (!flag || flag.enabled) return { big: share(weight), words: get };
  return { big: "Off", words: [": ", ...offWords(flag), `. When the flag is on again, ${share(weight)}`, ...get] };
}

// How a rollout ended, of which the flag may tell nothing any more.
export function endedWords(r: Moved, state: State, rules: number | undefined): string {
  const whom = audience(r.rule, rules, "matched");
  switch (state) {
    case State.COMPLETED:
      return `Complete: ${whom} got “${r.treatment}”`;
    case State.ROLLED_BACK:
      return `Shut: ${whom} got “${r.control}” again`;
    default:
      return `Aborted: ${whom} got “${r.control}” again`;
  }
}

// What is served since, where a rollout that is over had its hand.
export function nowWords(rule: string, flag: Flag): Words {
  if (!flag.enabled) return ["Now the flag is off: ", ...offWords(flag), "."];
  const one = flag.rules.find((r) => r.id === rule);
  if (rule !== "" && !one) return [`The flag has no rule “${rule}” any more.`];
  return [
    `Now ${audience(rule, flag.rules.length)} gets `,
    ...outcomeWords(one ? one.outcome : flag.defaultOutcome),
    ...whereWords({ offVariant: flag.offVariant, prerequisites: flag.prerequisites.map((p) => p.flagKey) }),
    ".",
  ];
}
