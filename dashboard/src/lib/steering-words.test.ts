import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { FlagSummarySchema } from "../gen/tidegate/control/v1/watch_service_pb";
import { AssessmentSchema } from "../gen/tidegate/rollout/v1/decision_pb";
import { Action, RolloutSchema, SuccessVerdict } from "../gen/tidegate/rollout/v1/rollout_pb";
import { steeringWords } from "./steering-words";

const rollout = create(RolloutSchema, {
  key: "r-1",
  rule: "beta",
  control: "off",
  treatment: "on",
  stages: [{ weight: 2_000 }, { weight: 5_000 }, { weight: 10_000 }],
  holdback: 200,
  status: { weight: 2_000 },
});
const flag = create(FlagSummarySchema, { enabled: true, rules: 1 });
const off = create(FlagSummarySchema, { enabled: false, rules: 1 });

it("says how far it is widened: the holdback keeps its share", () => {
  const words = (stage: number) => steeringWords("promote", { environment: "e", rollout, flag, stage });
  expect(words(1)).toMatchObject({ label: "Widen to 50%", what: "“on” goes from 20% to 50%." });
  expect(words(2)).toMatchObject({
    label: "Widen to 98%",
    done: "r-1 is widened to 98%",
    what: "“on” goes from 20% to 98%.",
  });
  expect(words(3)).toMatchObject({
    title: "Complete r-1 in e",
    label: "Complete",
    done: "r-1 is complete",
    what: "“on” goes from 20% to 100%: everyone whom the rule “beta” matches gets it. The rollout is over then.",
  });
});

it("says who gets the control again", () => {
  const words = (flag: typeof off | undefined) => steeringWords("abort", { environment: "e", rollout, flag, stage: 1 });
  const over = " The rollout is over; another one can be started.";
  expect(words(flag).what).toBe(`Everyone whom the rule “beta” matches gets “off” again, at once.${over}`);
  expect(words(undefined).what).toBe(words(flag).what);
  expect(words(off).what).toBe(`When the flag is on again, everyone whom the rule “beta” matches gets “off”.${over}`);
});

it("says what guardrails do from now on, if there are any", () => {
  const words = (act: "pause" | "promote", ...actions: Action[]) => {
    const guardrails = actions.map((action) => ({ name: "g", action }));
    const r = create(RolloutSchema, { ...rollout, guardrails } as never);
    return steeringWords(act, { environment: "e", rollout: r, flag, stage: 1 });
  };
  const shut = "Guardrails are watched on, and shut it if they are violated.";
  expect(words("pause", Action.HOLD, Action.ROLLBACK).what).toBe(`It stays at 20%. ${shut}`);
  expect(words("pause", Action.HOLD).what).toBe("It stays at 20%. Guardrails are watched on; none of them shuts it.");
  expect(words("pause").what).toBe("It stays at 20%. No guardrail watches it.");
  expect(words("promote", Action.ROLLBACK).caution).toBe(`This goes past what is not proven yet. ${shut}`);
  expect(steeringWords("promote", { environment: "e", rollout, flag, stage: 3 }).caution).toBe(
    "This goes past what is not proven yet. No guardrail watches it after that.",
  );
});

it("says that it goes past what is not proven only where something is not", () => {
  const caution = (a: MessageInitShape<typeof AssessmentSchema>) =>
    steeringWords("promote", { environment: "e", rollout, flag, stage: 3, assessment: create(AssessmentSchema, a) })
      .caution;
  const after = "No guardrail watches it after that.";
  const unproven = `This goes past what is not proven yet. ${after}`;
  expect(caution({ waits: [{ reason: "gate" }] })).toBe(unproven);
  expect(caution({ waits: [{ reason: "success" }] })).toBe(unproven);
  expect(caution({ waits: [{ reason: "success" }], success: { verdict: SuccessVerdict.WON } })).toBe(after);
  expect(caution({ waits: [{ reason: "manual" }] })).toBe(after);
  expect(caution({ success: { verdict: SuccessVerdict.LOST } })).toContain("the treatment is worse");
});
