import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { type FieldChange, FieldChangeSchema } from "../../gen/tidegate/control/v1/audit_pb";
import { type Kind, plainOf } from "../../lib/draft";
import { changes } from "../../lib/merge";

// What differs between two versions, as the server's diffs have it.
export function differences<S extends DescMessage>(
  kind: Kind<S>,
  before: MessageShape<S>,
  after: MessageShape<S>,
): FieldChange[] {
  return changes(kind.shape, plainOf(kind, before), plainOf(kind, after)).map((c) => create(FieldChangeSchema, c));
}
