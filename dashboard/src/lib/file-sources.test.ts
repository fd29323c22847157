import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { EnvironmentSettingsSchema } from "../gen/tidegate/control/v1/environment_pb";
import { fileSourceOf } from "./file-sources";

const some = create(EnvironmentSettingsSchema, { fileSources: [{ name: "web", keyPrefixes: ["web.", "www."] }] });
const all = create(EnvironmentSettingsSchema, { fileSources: [{ name: "all" }] });

it.each([
  [undefined, "web.a", undefined],
  [some, "www.a", "web"],
  [some, "a.web.", undefined],
  [all, "anything", "all"],
])("%# %s", (settings, key, want) => {
  expect(fileSourceOf(settings, key)?.name).toBe(want);
});
