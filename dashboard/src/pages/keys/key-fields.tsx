import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { EnvironmentsField } from "../../components/access/environments-field";
import { Prefixes } from "../../components/access/grants-editor";
import { Field, Input } from "../../components/basics";
import { localText, readLocal } from "../../components/proposal";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import { dateOf, zone } from "../../lib/time";

// What can be said of a key, but its role.
export type KeyForm = { name: string; owner: string; environments: string[]; prefixes: string[]; expires: string };

export function expiresText(at: Timestamp | undefined): string {
  const date = dateOf(at);
  return date ? localText(date) : "";
}

// What a form says; what was not touched stays as it was, to the second.
export function expiresOf(text: string, before: Timestamp | undefined): Timestamp | undefined {
  if (text === expiresText(before)) return before;
  const date = readLocal(text);
  return date && timestampFromDate(date);
}

export function KeyFields({ form, set, role }: { form: KeyForm; set: (form: KeyForm) => void; role: Role }) {
  const change = (to: Partial<KeyForm>) => set({ ...form, ...to });
  const past = form.expires !== "" && new Date(form.expires) <= new Date();
  return (
    <>
      <div className="pair">
        <Field label="Name" hint="What uses it.">
          {(ids) => (
            <Input {...ids} autoComplete="off" value={form.name} onChange={(e) => change({ name: e.target.value })} />
          )}
        </Field>
        <Field label="Owner (optional)" hint="The team or person to ask.">
          {(ids) => (
            <Input {...ids} autoComplete="off" value={form.owner} onChange={(e) => change({ owner: e.target.value })} />
          )}
        </Field>
      </div>
      <EnvironmentsField
        label="Opens"
        values={form.environments}
        set={(environments) => change({ environments })}
        none="Choose at least one."
      />
      {role !== Role.RELAY && (
        <Prefixes
          values={form.prefixes}
          set={(prefixes) => change({ prefixes })}
          hint="Such a key evaluates, and cannot follow: a state is whole or not at all."
        />
      )}
      <Field
        label="Good until (optional)"
        hint={`By your clock (${zone(readLocal(form.expires) ?? new Date())}). Empty: until it is revoked.`}
        problem={past ? "That has passed already." : undefined}
      >
        {(ids) => (
          <Input
            {...ids}
            type="datetime-local"
            value={form.expires}
            onChange={(e) => change({ expires: e.target.value })}
          />
        )}
      </Field>
    </>
  );
}
