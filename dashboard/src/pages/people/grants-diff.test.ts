import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type Grant, GrantSchema, Role } from "../../gen/tidegate/access/v1/identity_pb";
import { grantsDiff } from "./grants-diff";

const grant = (role: Role, environments: string[] = [], keyPrefixes: string[] = []): Grant =>
  create(GrantSchema, { role, environments, keyPrefixes });

test("what is given and taken away", () => {
  const before = [grant(Role.VIEWER), grant(Role.EDITOR, ["dev"])];
  expect(grantsDiff(before, before)).toEqual([]);
  const [change] = grantsDiff(before, [grant(Role.VIEWER), grant(Role.EDITOR, ["dev"], ["checkout-"])]);
  expect(change?.before).toBe("editor in dev");
  expect(change?.after).toBe("editor in dev, of keys that begin with checkout-");
});
