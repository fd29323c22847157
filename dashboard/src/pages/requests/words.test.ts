import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { expect, test, vi } from "vitest";
import { ChangeRequestSchema, ChangeRequest_State as State } from "../../gen/tidegate/control/v1/change_request_pb";
import { GetChangeRequestResponseSchema } from "../../gen/tidegate/control/v1/change_request_service_pb";
import { given, hasApproved, isEarly, isProposer, lacks, names, when, whyNot } from "./words";

vi.hoisted(() => {
  process.env.TZ = "UTC";
});

const by = (name: string, identityId = "") => ({ name, identityId });

test("what it names", () => {
  expect(names(create(ChangeRequestSchema, { flagKeys: ["a"] }))).toBe("a");
  expect(names(create(ChangeRequestSchema, { flagKeys: ["a", "b", "c"] }))).toBe("a and 2 other flags");
  expect(names(create(ChangeRequestSchema, { flagKeys: ["a"], segmentKeys: ["s"] }))).toBe("a and segment s");
  expect(names(create(ChangeRequestSchema, { flagKeys: ["a"], rolloutKey: "r" }))).toBe("start the rollout r of a");
});

test("a person is told by their identity, and by the name only where there is none", () => {
  const r = create(ChangeRequestSchema, {
    proposer: by("ada", "1"),
    approvals: [{ by: by("ben", "2") }, { by: by("eve") }],
  });
  expect(isProposer(r, { id: "1", name: "ada the second" })).toBe(true);
  expect(isProposer(r, { id: "9", name: "ada" })).toBe(false);
  expect(hasApproved(r, { id: "2", name: "" })).toBe(true);
  expect(hasApproved(r, { id: "7", name: "ben" })).toBe(false);
  expect(hasApproved(r, { id: "", name: "eve" })).toBe(true);
  expect(hasApproved(r, { id: "", name: "Eve" })).toBe(true);
});

test("what it has got, as far as a list knows", () => {
  const r = create(ChangeRequestSchema, { approvals: [{ by: by("ben") }] });
  expect(given(r, 2)).toBe("1 of 2 approvals");
  expect(given(r, 1)).toBe("1 approval given");
  r.applyAt = timestampFromDate(new Date(0));
  expect(given(r, 1)).toBe("1 approval given, scheduled");
  r.approvals = [];
  expect(given(r, 0)).toBe("needs no approval, scheduled");
});

test("when it is written, and whether it was", () => {
  const now = new Date(2026, 10, 28, 12);
  const at = timestampFromDate(new Date(2026, 10, 29, 9));
  const closedAt = timestampFromDate(new Date(2026, 10, 28, 11));
  const told = (r: MessageInitShape<typeof ChangeRequestSchema>) => when(create(ChangeRequestSchema, r), now);
  expect(told({ state: State.OPEN })).toBe("When somebody applies it.");
  expect(told({ state: State.OPEN, applyAt: at })).toBe(
    "It is written at Sun, Nov 29, 09:00 (UTC) by itself, if it can be then.",
  );
  expect(told({ state: State.APPLIED, closedAt })).toBe("It was written at 11:00 (UTC), when somebody applied it.");
  expect(told({ state: State.APPLIED, closedAt, applyAt: at, appliedEarly: true })).toBe(
    "It was written at 11:00 (UTC), before its time: it was to be at Sun, Nov 29, 09:00 (UTC).",
  );
  expect(told({ state: State.APPLIED, closedAt: at, applyAt: at })).toMatch(/^It was written at Sun, Nov 29, 09:00/);
  expect(told({ state: State.WITHDRAWN, applyAt: at })).toBe(
    "It was to be written at Sun, Nov 29, 09:00 (UTC), and was not.",
  );
  expect(told({ state: State.REJECTED })).toBe("It was not written.");
});

test("it is early before its time, and never without one", () => {
  const r = create(ChangeRequestSchema, {});
  expect(isEarly(r, new Date(0))).toBe(false);
  r.applyAt = timestampFromDate(new Date(1000));
  expect(isEarly(r, new Date(999))).toBe(true);
  expect(isEarly(r, new Date(1000))).toBe(false);
});

test("an approval that does not count is lacking, with why", () => {
  const answer = create(GetChangeRequestResponseSchema, {
    changeRequest: { approvals: [{ by: by("ben", "2") }, { by: by("cleo", "3") }] },
    approvalsRequired: 2,
    uncountedApprovals: [{ by: by("ben", "2"), problem: "was deleted" }],
  });
  const [bens, cleos] = answer.changeRequest?.approvals ?? [];
  expect(lacks(answer)).toBe(1);
  expect(bens && whyNot(bens, answer.uncountedApprovals)).toBe("was deleted");
  expect(cleos && whyNot(cleos, answer.uncountedApprovals)).toBeUndefined();
  answer.approvalsRequired = 0;
  expect(lacks(answer)).toBe(0);
});
