import type { EnvironmentSettings, FileSource } from "../gen/tidegate/control/v1/environment_pb";

// What keeps a flag or a segment in files; undefined: it is edited here.
export function fileSourceOf(settings: EnvironmentSettings | undefined, key: string): FileSource | undefined {
  return settings?.fileSources.find(
    (s) => s.keyPrefixes.length === 0 || s.keyPrefixes.some((prefix) => key.startsWith(prefix)),
  );
}
