import { create } from "@bufbuild/protobuf";
import { grantWords } from "../../components/access/grants";
import type { Grant } from "../../gen/tidegate/access/v1/identity_pb";
import { type FieldChange, FieldChangeSchema } from "../../gen/tidegate/control/v1/audit_pb";

// What is given and what is taken away, in words.
export function grantsDiff(before: Grant[], after: Grant[]): FieldChange[] {
  const [had, has] = [before.map(grantWords), after.map(grantWords)];
  const taken = had.filter((w) => !has.includes(w));
  const given = has.filter((w) => !had.includes(w));
  if (taken.length + given.length === 0) return [];
  return [create(FieldChangeSchema, { path: "may", before: taken.join("\n"), after: given.join("\n") })];
}
