import type { EnvironmentSettings, FileSource } from "../gen/tidegate/control/v1/environment_pb";
import { FlagKind } from "../gen/tidegate/flag/v1/flag_pb";

// What keeps a flag or a segment in files; undefined: it is edited here.
export function fileSourceOf(settings: EnvironmentSettings | undefined, key: string): FileSource | undefined {
  return settings?.fileSources.find(
    (s) => s.keyPrefixes.length === 0 || s.keyPrefixes.some((prefix) => key.startsWith(prefix)),
  );
}

// What alone can turn a flag on; undefined: the switch does. It turns every flag off.
export function turnedOnIn(
  settings: EnvironmentSettings | undefined,
  flag: { key: string; kind: FlagKind },
): FileSource | undefined {
  return flag.kind === FlagKind.OPERATIONAL ? undefined : fileSourceOf(settings, flag.key);
}
