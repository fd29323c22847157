import { create } from "@bufbuild/protobuf";
import { expect, test, vi } from "vitest";
import { Action, ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import { PromoteEnvironmentResponseSchema } from "../../gen/tidegate/control/v1/environment_service_pb";
import { ApplyResultSchema } from "../../gen/tidegate/control/v1/flag_service_pb";
import { FlagSchema, SegmentSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { most, promotionDone, promotionProposal, type Source } from "./promotion";

vi.mock("../../api/transport", () => ({}));

const result = (kind: ResourceKind, key: string, action: Action, revision: bigint) =>
  create(ApplyResultSchema, { kind, key, action, revision });

const source: Source = {
  flag: async (environment, key) =>
    key === "gone"
      ? undefined
      : create(FlagSchema, { key, description: environment, enabled: environment === "staging" }),
  segment: async (environment, key) => create(SegmentSchema, { key, description: environment }),
};

const results = [
  result(ResourceKind.SEGMENT, "beta", Action.UPDATED, 4n),
  result(ResourceKind.FLAG, "cart", Action.UPDATED, 5n),
  result(ResourceKind.FLAG, "menu", Action.CREATED, 0n),
  result(ResourceKind.FLAG, "old", Action.DELETED, 6n),
  result(ResourceKind.FLAG, "same", Action.UNSPECIFIED, 7n),
];

test("each thing as it is in the one, on condition of what it is in the other", async () => {
  const asked = { from: "staging", to: "production", includeEnabled: false };
  const proposal = await promotionProposal(results, asked, source);
  expect(proposal).toMatchObject({
    segments: [{ segment: { key: "beta", description: "staging" }, baseRevision: 4n }],
    flags: [
      { flag: { key: "cart", description: "staging", enabled: false }, baseRevision: 5n },
      { flag: { key: "menu", enabled: false }, baseRevision: 0n },
    ],
    deletes: [{ kind: ResourceKind.FLAG, key: "old", baseRevision: 6n }],
  });
  const switched = await promotionProposal(results, { ...asked, includeEnabled: true }, source);
  expect(switched.flags).toMatchObject([{ flag: { enabled: true } }, { flag: { enabled: true } }]);
});

test("says why it cannot be proposed", async () => {
  const asked = { from: "staging", to: "production", includeEnabled: false };
  await expect(promotionProposal([], asked, source)).rejects.toThrow(/nothing/);
  const many = Array.from({ length: most + 1 }, (_, i) => result(ResourceKind.FLAG, `f${i}`, Action.CREATED, 0n));
  await expect(promotionProposal(many, asked, source)).rejects.toThrow(/31: choose keys/);
  const gone = [result(ResourceKind.FLAG, "gone", Action.CREATED, 0n)];
  await expect(promotionProposal(gone, asked, source)).rejects.toThrow(/gone is not in staging/);
});

test("what was promoted is told, and not that all is the same now", () => {
  const done = (created: number, updated: number, deleted: number) =>
    promotionDone(create(PromoteEnvironmentResponseSchema, { created, updated, deleted }), "staging", "production");
  expect(done(1, 2, 0)).toBe("Promoted from staging to production: 1 new, 2 changed, 0 deleted");
  expect(done(0, 0, 0)).toBe("Nothing differed between staging and production");
});
