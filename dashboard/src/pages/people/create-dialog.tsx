import "../../components/access/access.css";
import "../../styles/rules.css";
import { create } from "@bufbuild/protobuf";
import { useState } from "react";
import { identities } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { GrantsEditor } from "../../components/access/grants-editor";
import { Field, Input, Select } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { type Grant, GrantSchema, IdentityKind, IdentitySchema, Role } from "../../gen/tidegate/access/v1/identity_pb";

export function CreateDialog({
  onClose,
  onCreated,
}: {
  onClose: () => void;
  // With the secret of a service.
  onCreated: (name: string, secret: string) => void;
}) {
  const environment = useEnvironment();
  const [kind, setKind] = useState<"password" | "openid" | "service">("password");
  const [name, setName] = useState("");
  const [about, setAbout] = useState("");
  const [password, setPassword] = useState("");
  const [grants, setGrants] = useState<Grant[]>([create(GrantSchema, { role: Role.VIEWER })]);
  const person = kind !== "service";
  const short = kind === "password" && password.length > 0 && password.length < 12;
  return (
    <ChangeDialog
      title="Add somebody"
      environment={environment}
      unprotected
      wide
      label="Add"
      done={`${name} is added`}
      run={async (reason, requestId) => {
        const { identity, secret } = await identities.createIdentity({
          identity: create(IdentitySchema, {
            kind: person ? IdentityKind.PERSON : IdentityKind.SERVICE,
            name: name.trim(),
            displayName: person ? about.trim() : "",
            owner: person ? "" : about.trim(),
            grants,
          }),
          password: kind === "password" ? password : "",
          reason,
          requestId,
        });
        onCreated(identity?.identity?.name ?? name, secret);
        return {};
      }}
      onClose={onClose}
    >
      <Field label="Who">
        {(ids) => (
          <Select {...ids} value={kind} onChange={(e) => setKind(e.target.value as typeof kind)}>
            <option value="password">A person, who logs in with a password</option>
            <option value="openid">A person, who logs in through the OpenID provider</option>
            <option value="service">A service, which presents a secret</option>
          </Select>
        )}
      </Field>
      <div className="pair">
        <Field label={person ? "E-mail address" : "Name"} hint={person ? undefined : "Without spaces."}>
          {(ids) => <Input {...ids} autoComplete="off" value={name} onChange={(e) => setName(e.target.value)} />}
        </Field>
        <Field label={person ? "Shown as (optional)" : "Owner (optional)"} hint={person ? undefined : "Whom to ask."}>
          {(ids) => <Input {...ids} autoComplete="off" value={about} onChange={(e) => setAbout(e.target.value)} />}
        </Field>
      </div>
      {kind === "password" && (
        <Field
          label="First password"
          hint="At least 12 characters. They can change it on their account."
          problem={short ? "It needs at least 12 characters." : undefined}
        >
          {(ids) => (
            <Input
              {...ids}
              type="password"
              autoComplete="new-password"
              value={password}
              onChange={(e) => setPassword(e.target.value)}
            />
          )}
        </Field>
      )}
      <GrantsEditor grants={grants} set={setGrants} />
    </ChangeDialog>
  );
}
