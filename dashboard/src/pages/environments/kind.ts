import { EnvironmentSettingsSchema } from "../../gen/tidegate/control/v1/environment_pb";
import type { Kind } from "../../lib/draft";
import type { Shape } from "../../lib/merge";

const fields: Shape = { kind: "fields", fields: {} };

const settingsShape: Shape = {
  kind: "fields",
  fields: {
    flag_policy: { kind: "fields", fields: { key_prefixes: { kind: "set" } } },
    file_sources: {
      kind: "named",
      name: "name",
      of: { kind: "fields", fields: { key_prefixes: { kind: "set" } } },
    },
    freeze_windows: { kind: "named", name: "name", of: fields },
    approval: fields,
    promotion: fields,
  },
};

export const settingsKind: Kind<typeof EnvironmentSettingsSchema> = {
  schema: EnvironmentSettingsSchema,
  shape: settingsShape,
};
