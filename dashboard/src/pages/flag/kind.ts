import { equals } from "@bufbuild/protobuf";
import { type Flag, FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import type { Kind } from "../../lib/draft";
import { flagShape } from "../../lib/merge";

export const flagKind: Kind<typeof FlagSchema> = { schema: FlagSchema, shape: flagShape };

// Whether the kill switch alone was used: that is in nobody's way.
export function onlySwitched(before: Flag, after: Flag): boolean {
  return equals(FlagSchema, { ...before, enabled: after.enabled }, after);
}
