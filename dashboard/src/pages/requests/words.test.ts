import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { ChangeRequestSchema } from "../../gen/tidegate/control/v1/change_request_pb";
import { hasApproved, isProposer, names, waitsFor } from "./words";

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
});

test("what it waits for", () => {
  const r = create(ChangeRequestSchema, { approvals: [{ by: by("ben") }] });
  expect(waitsFor(r, 2)).toBe("1 of 2 approvals");
  expect(waitsFor(r, 1)).toBe("ready to apply");
  r.applyAt = timestampFromDate(new Date(0));
  expect(waitsFor(r, 1)).toBe("approved, and scheduled");
});
