import "../../components/access/access.css";
import "../../styles/rules.css";
import { useState } from "react";
import { keys } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { roleMeanings, roleNames } from "../../components/access/grants";
import { Field, Select } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { KeyVersion } from "../../gen/tidegate/control/v1/key_service_pb";
import { expiresOf, KeyFields } from "./key-fields";

const roles = [Role.RELAY, Role.SDK_SERVER, Role.SDK_CLIENT];

export function CreateKeyDialog({
  onClose,
  onCreated,
}: {
  onClose: () => void;
  onCreated: (version: KeyVersion, secret: string) => void;
}) {
  const environment = useEnvironment();
  const [role, setRole] = useState<Role>(Role.SDK_SERVER);
  const [form, setForm] = useState({
    name: "",
    owner: "",
    environments: [environment],
    prefixes: [] as string[],
    expires: "",
  });
  return (
    <ChangeDialog
      title="New key"
      environment={environment}
      unprotected
      wide
      label="Make it"
      done={`The key ${form.name} is made`}
      run={async (reason, requestId) => {
        const { key, secret } = await keys.createKey({
          name: form.name.trim(),
          owner: form.owner.trim(),
          environments: form.environments,
          flagPrefixes: role === Role.RELAY ? [] : form.prefixes,
          expiresAt: expiresOf(form.expires, undefined),
          role,
          reason,
          requestId,
        });
        if (key) onCreated(key, secret);
        return {};
      }}
      onClose={onClose}
    >
      <Field label="For" hint={roleMeanings[role]}>
        {(ids) => (
          <Select {...ids} value={role} onChange={(e) => setRole(Number(e.target.value))}>
            {roles.map((r) => (
              <option key={r} value={r}>
                {roleNames[r]}
              </option>
            ))}
          </Select>
        )}
      </Field>
      <KeyFields form={form} set={setForm} role={role} />
    </ChangeDialog>
  );
}
