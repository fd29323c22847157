import { SegmentSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import type { Kind } from "../../lib/draft";
import { segmentShape } from "../../lib/merge";

export const segmentKind: Kind<typeof SegmentSchema> = { schema: SegmentSchema, shape: segmentShape };
