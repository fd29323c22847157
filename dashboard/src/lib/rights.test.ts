// @vitest-environment jsdom
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { allows } from "../api/session";
import { type GrantSchema, IdentitySchema, Role } from "../gen/tidegate/access/v1/identity_pb";
import { type May, refusal, someKey } from "./rights";

const who =
  (...grants: MessageInitShape<typeof GrantSchema>[]): May =>
  (role, environment, key) =>
    allows(create(IdentitySchema, { grants }), role, environment, key);

test.each([
  ["an editor where nothing is protected", who({ role: Role.EDITOR }), false, ["a"], undefined],
  ["an editor in what is protected", who({ role: Role.EDITOR }), true, ["a"], /protected: it takes an operator/],
  ["an operator there", who({ role: Role.OPERATOR }), true, ["a"], undefined],
  ["an operator of another environment", who({ role: Role.OPERATOR, environments: ["dev"] }), true, [], /protected/],
  ["a viewer", who({ role: Role.VIEWER }), false, [], /takes an editor/],
  ["an editor of some keys", who({ role: Role.EDITOR, keyPrefixes: ["shop."] }), false, ["shop.a"], undefined],
  ["the same of others", who({ role: Role.EDITOR, keyPrefixes: ["shop."] }), false, ["shop.a", "pay"], /include pay/],
] as const)("%s", (_, may, isProtected, keys, want) => {
  const got = refusal(may, "prod", isProtected, ...keys);
  if (want === undefined) expect(got).toBeUndefined();
  else expect(got).toMatch(want);
});

test("without a key it is about all of them, as the server asks", () => {
  const some = who({ role: Role.OPERATOR, keyPrefixes: ["shop."] });
  expect(some(Role.OPERATOR, "prod")).toBe(false);
  expect(some(Role.OPERATOR, "prod", "shop.a")).toBe(true);
  expect(some(Role.OPERATOR, "prod", someKey)).toBe(true);
  expect(who({ role: Role.OPERATOR })(Role.OPERATOR, "prod")).toBe(true);
});
