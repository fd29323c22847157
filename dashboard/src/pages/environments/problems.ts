import { type JsonValue, toJson } from "@bufbuild/protobuf";
import type { Violation } from "../../api/errors";
import { type EnvironmentSettings, EnvironmentSettingsSchema } from "../../gen/tidegate/control/v1/environment_pb";

// What the server has refused, and why: by the path of the field.
export type Refused = { settings: EnvironmentSettings; violations: Violation[] };

// What is wrong still: a field that is something else now may be right.
export function standing(refused: Refused | undefined, now: EnvironmentSettings): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  if (!refused) return found;
  const [then, since] = [json(refused.settings), json(now)];
  for (const v of refused.violations) {
    const path = v.field.replace(/^settings\./, "");
    if (JSON.stringify(at(then, path)) === JSON.stringify(at(since, path))) found.set(path, v.problem);
  }
  return found;
}

const json = (s: EnvironmentSettings) => toJson(EnvironmentSettingsSchema, s, { useProtoFieldName: true });

// The value at a path such as file_sources[1].name.
function at(value: JsonValue | undefined, path: string): JsonValue | undefined {
  for (const step of path.match(/[^.[\]]+/g) ?? []) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<string, JsonValue>)[step];
  }
  return value;
}
