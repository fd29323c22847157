import type { Value } from "@bufbuild/protobuf/wkt";
import { jsonOf, readJson, toValue } from "../../lib/values";
import { Field, TextArea } from "../basics";
import { useForm, useTyped } from "../draft";

// A JsonLogic expression, as JSON.
export function JsonField({
  label,
  hint,
  path,
  value,
  set,
}: {
  label: string;
  hint?: string;
  path: string;
  value: Value | undefined;
  set: (v: Value) => void;
}) {
  const { disabled } = useForm();
  const typed = useTyped(
    path,
    JSON.stringify(jsonOf(value), null, 2),
    (text) => {
      const read = readJson(text);
      return "problem" in read ? read : { value: toValue(read.json) };
    },
    set,
  );
  return (
    <Field label={label} hint={hint} problem={typed.problem}>
      {(ids) => (
        <TextArea
          {...ids}
          className="mono"
          spellCheck={false}
          readOnly={disabled}
          rows={Math.min(14, Math.max(3, typed.text.split("\n").length))}
          value={typed.text}
          onChange={(e) => typed.change(e.target.value)}
        />
      )}
    </Field>
  );
}
