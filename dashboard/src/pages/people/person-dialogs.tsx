import { clone } from "@bufbuild/protobuf";
import { useState } from "react";
import { identities } from "../../api/transport";
import { GrantsEditor } from "../../components/access/grants-editor";
import { RotateDialog } from "../../components/access/rotate-dialog";
import { Field, Input, Note } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { Diff } from "../../components/diff";
import { GrantSchema, type Identity, IdentitySchema } from "../../gen/tidegate/access/v1/identity_pb";
import type { IdentityVersion } from "../../gen/tidegate/control/v1/identity_service_pb";
import { grantsDiff } from "./grants-diff";

export type PersonDeed = "grants" | "rotate" | "password" | "disable" | "delete";

export function PersonDialogs({
  deed,
  version,
  environment,
  onClose,
  onDone,
  onSecret,
}: {
  deed: PersonDeed;
  version: IdentityVersion;
  environment: string;
  onClose: () => void;
  onDone: () => void;
  onSecret: (secret: string) => void;
}) {
  const [now] = useState(() => version.identity as Identity);
  const [base] = useState(version.revision);
  const [grants, setGrants] = useState(() => now.grants.map((g) => clone(GrantSchema, g)));
  const [password, setPassword] = useState("");
  const common = { environment, unprotected: true, onClose, onDone };

  async function update(to: Partial<Identity>, reason: string, requestId: string) {
    const identity = Object.assign(clone(IdentitySchema, now), to);
    await identities.updateIdentity({ identity, baseRevision: base, reason, requestId });
    return {};
  }

  switch (deed) {
    case "grants":
      return (
        <ChangeDialog
          {...common}
          title={`What ${now.name} may`}
          wide
          label="Save"
          done={`${now.name} may do that from now on`}
          run={(reason, requestId) => update({ grants }, reason, requestId)}
        >
          <GrantsEditor grants={grants} set={setGrants} />
          <Diff changes={grantsDiff(now.grants, grants)} none="Nothing differs yet." />
        </ChangeDialog>
      );
    case "disable":
      return (
        <ChangeDialog
          {...common}
          title={`${now.disabled ? "Enable" : "Disable"} ${now.name}`}
          label={now.disabled ? "Enable" : "Disable"}
          danger={!now.disabled}
          done={`${now.name} is ${now.disabled ? "enabled" : "disabled"}`}
          run={(reason, requestId) => update({ disabled: !now.disabled }, reason, requestId)}
        >
          <p>
            {now.disabled
              ? "They may do what they could before."
              : "They may do nothing until they are enabled again. What they have open is cut off at once."}
          </p>
        </ChangeDialog>
      );
    case "delete":
      return (
        <ChangeDialog
          {...common}
          title={`Remove ${now.name}`}
          label="Remove"
          danger
          done={`${now.name} is removed`}
          run={async (reason, requestId) => {
            await identities.deleteIdentity({ id: now.id, reason, requestId });
            return {};
          }}
        >
          <Note tone="warn">
            <span>
              It cannot be undone. The audit trail keeps what they did. To shut somebody out for a while: disable.
            </span>
          </Note>
        </ChangeDialog>
      );
    case "password":
      return (
        <ChangeDialog
          {...common}
          title={`Reset the password of ${now.name}`}
          label="Reset"
          done={`${now.name} has a new password`}
          run={async (reason, requestId) => {
            await identities.setPassword({ id: now.id, password, reason, requestId });
            return {};
          }}
        >
          <p>Their sessions end. Tell them the new password in a way that nobody else sees.</p>
          <Field label="New password" hint="At least 12 characters.">
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
        </ChangeDialog>
      );
    case "rotate":
      return (
        <RotateDialog
          name={now.name}
          environment={environment}
          onClose={onClose}
          run={async (overlap, reason, requestId) => {
            const { secret } = await identities.rotateSecret({
              id: now.id,
              overlap: { seconds: BigInt(overlap) },
              baseRevision: base,
              reason,
              requestId,
            });
            onDone();
            onSecret(secret);
          }}
        />
      );
  }
}
