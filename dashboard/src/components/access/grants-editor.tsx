import { create } from "@bufbuild/protobuf";
import { Plus, Trash2 } from "lucide-react";
import { type Grant, GrantSchema, Role } from "../../gen/tidegate/access/v1/identity_pb";
import { Button, Field, IconButton, Select } from "../basics";
import { Chips } from "../chips";
import { EnvironmentsField } from "./environments-field";
import { grantWords, roleMeanings, roleNames } from "./grants";

const roles = [Role.VIEWER, Role.EDITOR, Role.OPERATOR, Role.ADMINISTRATOR];

// What somebody may do, and where.
export function GrantsEditor({ grants, set }: { grants: Grant[]; set: (grants: Grant[]) => void }) {
  const change = (i: number, to: Partial<Grant>) => set(grants.map((g, at) => (at === i ? { ...g, ...to } : g)));
  return (
    <fieldset className="grants stack tight">
      <legend className="label">What they may do</legend>
      {grants.length === 0 && <p className="soft small">Nothing: they can log in, and see nothing.</p>}
      {grants.map((g, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: grants have no name of their own
        <div className="grant" key={i}>
          <div className="row spread">
            <strong>{grantWords(g)}</strong>
            <IconButton
              icon={Trash2}
              label={`Take away: ${grantWords(g)}`}
              small
              onClick={() => set(grants.filter((_, at) => at !== i))}
            />
          </div>
          <div className="pair">
            <Field label="Role" hint={roleMeanings[g.role]}>
              {(ids) => (
                <Select
                  {...ids}
                  value={g.role}
                  onChange={(e) => {
                    const role = Number(e.target.value);
                    change(i, role === Role.ADMINISTRATOR ? { role, keyPrefixes: [] } : { role });
                  }}
                >
                  {roles.map((r) => (
                    <option key={r} value={r}>
                      {roleNames[r]}
                    </option>
                  ))}
                </Select>
              )}
            </Field>
            <EnvironmentsField
              values={g.environments}
              set={(environments) => change(i, { environments })}
              none="Everywhere, also in environments that are still to be made."
            />
          </div>
          {g.role !== Role.ADMINISTRATOR && (
            <Prefixes values={g.keyPrefixes} set={(keyPrefixes) => change(i, { keyPrefixes })} />
          )}
        </div>
      ))}
      <div>
        <Button small onClick={() => set([...grants, create(GrantSchema, { role: Role.VIEWER })])}>
          <Plus size={14} aria-hidden /> {grants.length === 0 ? "Give a role" : "Give another role"}
        </Button>
      </div>
    </fieldset>
  );
}

export function Prefixes({
  values,
  set,
  hint,
  problem,
}: {
  values: string[];
  set: (v: string[]) => void;
  hint?: string;
  problem?: string;
}) {
  return (
    <Field label="Only keys that begin with (optional)" hint={hint ?? "Such as checkout-. Empty: all keys."}>
      {(ids) => (
        <Chips
          {...ids}
          label="Prefixes"
          values={values}
          problem={problem}
          placeholder="Type, then Enter"
          add={(texts) => {
            set([...new Set([...values, ...texts])]);
            return undefined;
          }}
          remove={(i) => set(values.filter((_, at) => at !== i))}
        />
      )}
    </Field>
  );
}
