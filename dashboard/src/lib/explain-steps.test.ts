import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import {
  FlagExplanation_Decided as Decided,
  PrerequisiteExplanationSchema,
} from "../gen/tidegate/control/v1/explanation_pb";
import { prerequisiteStepWords } from "./explain-steps";
import { plain } from "./words";

it.each<[string, MessageInitShape<typeof PrerequisiteExplanationSchema>]>([
  ["`a` must serve `on` or `more`, and serves `on`.", { held: true, flag: { decided: Decided.DEFAULT, served: "on" } }],
  [
    "`a` must serve `on` or `more`, and serves the caller’s own default.",
    { flag: { decided: Decided.DEFAULT, served: "" } },
  ],
  // The off variant of a flag that is off does not count, also where it is what is wanted.
  [
    "`a` must serve `on` or `more`. It is off: what it serves then, `on`, does not count.",
    { flag: { decided: Decided.DISABLED, served: "on" } },
  ],
  [
    "`a` must serve `on` or `more`. It is off: what it serves then, `on`, does not count.",
    { flag: { decided: Decided.HIDDEN, served: "on" } },
  ],
  ["`a` must serve `on` or `more`, and serves `no`.", { flag: { decided: Decided.HIDDEN, served: "no" } }],
  ["`a` must serve `on` or `more`, and there is no such flag.", { flag: { decided: Decided.NOT_FOUND } }],
  ["`a` must serve `on` or `more`: it needs this flag itself, so it does not hold.", { cyclic: true }],
  // It was explained before.
  ["`a` must serve `on` or `more`.", {}],
])("a prerequisite: %s", (words, step) => {
  const p = create(PrerequisiteExplanationSchema, { flagKey: "a", wanted: ["on", "more"], ...(step as object) });
  expect(plain(prerequisiteStepWords(p))).toBe(words);
});
