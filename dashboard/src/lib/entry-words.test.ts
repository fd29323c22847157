import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Action, AuditEntrySchema, ResourceKind } from "../gen/tidegate/control/v1/audit_pb";
import { actionName, entryId, entryPath, entryTone, entryWords, kindName } from "./entry-words";

type Init = Parameters<typeof create<typeof AuditEntrySchema>>[1];
const flag = (init: Init) =>
  create(AuditEntrySchema, {
    environment: "production",
    kind: ResourceKind.FLAG,
    key: "new-checkout",
    actor: "ada",
    ...init,
  });
const rollout = (action: Action, init: Init = {}) =>
  flag({ kind: ResourceKind.ROLLOUT, key: "new-checkout-1", actor: "decider", action, ...init });
const change = (path: string) => ({ path, before: "1", after: "2" });

describe("entryWords", () => {
  it.each([
    [flag({ action: Action.DISABLED }), "ada turned off new-checkout"],
    [flag({ action: Action.ENABLED }), "ada turned on new-checkout"],
    [flag({ action: Action.CREATED }), "ada made the flag new-checkout"],
    [flag({ action: Action.UPDATED, changes: [] }), "ada changed new-checkout"],
    [
      flag({
        action: Action.UPDATED,
        changes: [change("rules[staff].variant"), change("rules[staff].id"), change("owner")],
      }),
      "ada changed the rules and the owner of new-checkout",
    ],
    [
      flag({ action: Action.UPDATED, changes: [change("rules"), change("owner"), change("tags")] }),
      "ada changed new-checkout",
    ],
    [flag({ action: Action.UPDATED, changes: [change("off_variant")] }), "ada changed the off variant of new-checkout"],
    [flag({ action: Action.RESTORED, sourceRevision: 41n }), "ada took new-checkout back to revision 41"],
    [flag({ action: Action.PROMOTED, sourceEnvironment: "staging" }), "ada promoted new-checkout from staging"],
    [
      flag({ action: Action.ADVANCED, actor: "decider", rolloutKey: "new-checkout-1" }),
      "decider widened new-checkout, by the rollout new-checkout-1",
    ],
    // Of one outcome of the flag, which may be a rule's: not of everyone.
    [
      flag({ action: Action.COMPLETED, actor: "decider", rolloutKey: "new-checkout-1" }),
      "decider widened new-checkout to 100%, by the rollout new-checkout-1",
    ],
    [
      flag({ action: Action.ROLLED_BACK, actor: "decider", rolloutKey: "new-checkout-1" }),
      "decider took new-checkout back to the control, by the rollout new-checkout-1",
    ],
    [rollout(Action.ROLLED_BACK), "decider shut the rollout new-checkout-1"],
    [rollout(Action.HELD), "decider made the rollout new-checkout-1 wait"],
    [
      rollout(Action.TRIPPED, { actor: "eu-1" }),
      "The relay eu-1 shut the rollout new-checkout-1 by itself, while it was cut off",
    ],
    [flag({ action: Action.DELETED, actor: "" }), "Somebody unnamed deleted the flag new-checkout"],
    [
      flag({
        kind: ResourceKind.KEY,
        key: "k1",
        action: Action.ROTATED,
        resource: { case: "accessKey", value: { name: "shop" } },
      }),
      "ada gave the key shop a new secret",
    ],
    [flag({ kind: ResourceKind.KEY, key: "k1", action: Action.DELETED }), "ada revoked the key k1"],
    [
      flag({
        kind: ResourceKind.IDENTITY,
        key: "i1",
        action: Action.CREATED,
        resource: { case: "identity", value: { name: "ben@example.com" } },
      }),
      "ada let ben@example.com in",
    ],
    [flag({ kind: ResourceKind.EPOCH, key: "epoch", action: Action.UPDATED }), "ada began a new epoch of the store"],
    [
      flag({ kind: ResourceKind.ENVIRONMENT, key: "production", action: Action.UPDATED }),
      "ada changed the settings of production",
    ],
  ])("%#: says what happened", (entry, words) => {
    expect(entryWords(entry)).toBe(words);
  });

  it("says something of every action of every kind, also of those that it does not know", () => {
    const numbers = (of: object) => Object.values(of).filter((v): v is number => typeof v === "number" && v > 0);
    for (const kind of [...numbers(ResourceKind), 99])
      for (const action of [...numbers(Action), 99]) {
        const words = entryWords(flag({ kind, action }));
        expect(words).toMatch(/^(The relay )?ada \S+/);
        expect(words).not.toContain("*");
        expect(words).not.toContain("undefined");
      }
  });
});

it("names kinds and actions as people do", () => {
  expect(kindName(ResourceKind.FLAG)).toBe("flag");
  expect(actionName(Action.ROLLED_BACK)).toBe("rolled back");
});

it("warns of what was shut", () => {
  expect(entryTone(rollout(Action.ROLLED_BACK))).toBe("bad");
  expect(entryTone(rollout(Action.COMPLETED))).toBe("good");
  expect(entryTone(flag({ action: Action.UPDATED }))).toBe("");
});

it("leads to what an entry is about", () => {
  expect(entryPath(flag({ key: "a/b" }))).toBe("/flags/a%2Fb");
  expect(entryPath(rollout(Action.HELD))).toBe("/rollouts/new-checkout-1");
  expect(entryPath(flag({ kind: ResourceKind.EPOCH }))).toBe("");
});

it("tells entries apart by what their chain is and their place in it", () => {
  expect(entryId(flag({ sequence: 3n }))).toBe("production/1/new-checkout/3");
});
