import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { environments } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { Field, Input, Select } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { byEverything } from "../../lib/freeze-words";

// An empty environment, or one that begins with what another one has.
export function CreateEnvironmentDialog({ names, onClose }: { names: string[]; onClose: () => void }) {
  const here = useEnvironment();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [name, setName] = useState("");
  const [from, setFrom] = useState("");
  const [disable, setDisable] = useState(false);
  const taken = names.includes(name);
  const wrong = name !== "" && !/^[a-z][a-z0-9-]{0,62}$/.test(name);
  return (
    <ChangeDialog
      title="New environment"
      environment={here}
      unprotected
      refusedBy={byEverything}
      label="Create"
      done={`${name} is there`}
      run={async (reason, requestId) => {
        await environments.createEnvironment({ name, fromEnvironment: from, disable, reason, requestId });
        await queries.invalidateQueries({ queryKey: ["environments"] });
        await queries.invalidateQueries({ queryKey: ["environment-list"] });
        return {};
      }}
      onDone={() => navigate(`/${name}/environments/settings`)}
      onClose={onClose}
    >
      <Field
        label="Name"
        hint="Lower-case letters, digits and hyphens. It stays: environments are never deleted."
        problem={
          taken
            ? "There is one of that name."
            : wrong
              ? "Lower-case letters, digits and '-', a letter first."
              : undefined
        }
      >
        {(ids) => (
          <Input
            {...ids}
            autoComplete="off"
            spellCheck={false}
            value={name}
            onChange={(e) => setName(e.target.value.trim())}
          />
        )}
      </Field>
      <Field
        label="Begins with"
        hint={
          from
            ? `The flags, segments and settings of ${from}, as of one moment. Rollouts and keys are not copied.`
            : "No flags, no segments, no settings."
        }
      >
        {(ids) => (
          <Select {...ids} value={from} onChange={(e) => setFrom(e.target.value)}>
            <option value="">nothing</option>
            {names.map((n) => (
              <option key={n} value={n}>
                a copy of {n}
              </option>
            ))}
          </Select>
        )}
      </Field>
      {from && (
        <label className="check">
          <input type="checkbox" checked={disable} onChange={(e) => setDisable(e.target.checked)} />
          All flags arrive turned off
        </label>
      )}
    </ChangeDialog>
  );
}
