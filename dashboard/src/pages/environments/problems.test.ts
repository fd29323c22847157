import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { EnvironmentSettingsSchema } from "../../gen/tidegate/control/v1/environment_pb";
import { standing } from "./problems";

const settings = (name: string, keyPattern: string) =>
  create(EnvironmentSettingsSchema, { fileSources: [{ name: "shop" }, { name }], flagPolicy: { keyPattern } });

const refused = {
  settings: settings("a name", "["),
  violations: [
    { field: "settings.file_sources[1].name", problem: "must be a key" },
    { field: "settings.flag_policy.key_pattern", problem: "is not a regular expression" },
  ],
};

test("what was refused stays wrong until it is changed", () => {
  expect([...standing(refused, settings("a name", "[")).keys()]).toEqual([
    "file_sources[1].name",
    "flag_policy.key_pattern",
  ]);
  expect([...standing(refused, settings("a-name", "[")).keys()]).toEqual(["flag_policy.key_pattern"]);
  expect(standing(refused, settings("a-name", "[a-z]+")).size).toBe(0);
  expect(standing(undefined, settings("", "")).size).toBe(0);
});
