import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useSession } from "../../api/session";
import { freezes } from "../../api/transport";
import { useEnvironments } from "../../api/use-environment";
import { freezesKey } from "../../api/use-freeze";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import { type Frozen, FrozenSchema } from "../../gen/tidegate/rollout/v1/decision_pb";
import { stillWorks } from "../../lib/freeze-words";
import { Field, Note, Select } from "../basics";
import { ChangeDialog } from "../change-dialog";

const spans: [label: string, hours: number][] = [
  ["until somebody lifts it", 0],
  ["1 hour", 1],
  ["4 hours", 4],
  ["24 hours", 24],
  ["3 days", 72],
];

// The panic button: one dialog, and only a reason is asked for.
export function PanicDialog({ environment, onClose }: { environment: string; onClose: () => void }) {
  const session = useSession();
  const names = useEnvironments();
  const queries = useQueryClient();
  const everywhere = session.may(Role.OPERATOR, "");
  const [where, setWhere] = useState(everywhere ? "" : environment);
  const [hours, setHours] = useState(0);
  return (
    <ChangeDialog
      title={`Freeze ${where || "every environment"}`}
      environment={where || environment}
      label="Freeze now"
      danger
      unconfirmed
      done={`${where || "Every environment"} is frozen`}
      run={async (reason, requestId) => {
        const until = hours > 0 ? timestampFromDate(new Date(Date.now() + hours * 3_600_000)) : undefined;
        await freezes.freeze({ environments: where ? [where] : [], until, reason, requestId });
        return {};
      }}
      onDone={() => void queries.invalidateQueries({ queryKey: freezesKey })}
      onClose={onClose}
    >
      <Note tone="warn">
        <strong>Nothing is changed any more, by anybody, but to make it safer.</strong>
        <span>
          Changes of flags, segments, rollouts and settings are refused until this is lifted, and no rollout gets wider.
          Rollouts that do harm are shut as ever. People and keys can be changed.
        </span>
        <span>{stillWorks([create(FrozenSchema, {})])}</span>
      </Note>
      <div className="columns">
        <Field label="Where">
          {(ids) => (
            <Select {...ids} value={where} onChange={(e) => setWhere(e.target.value)}>
              {everywhere && <option value="">Every environment</option>}
              {(names.data ?? [])
                .filter((n) => session.may(Role.OPERATOR, n))
                .map((n) => (
                  <option key={n} value={n}>
                    {n}
                  </option>
                ))}
            </Select>
          )}
        </Field>
        <Field label="For how long">
          {(ids) => (
            <Select {...ids} value={hours} onChange={(e) => setHours(Number(e.target.value))}>
              {spans.map(([label, h]) => (
                <option key={h} value={h}>
                  {label}
                </option>
              ))}
            </Select>
          )}
        </Field>
      </div>
    </ChangeDialog>
  );
}

export function LiftDialog({
  environment,
  frozen,
  onClose,
}: {
  environment: string;
  frozen: Frozen;
  onClose: () => void;
}) {
  const queries = useQueryClient();
  const what = frozen.everywhere ? "every environment" : environment;
  return (
    <ChangeDialog
      title={`Lift the freeze of ${what}`}
      environment={environment}
      label="Lift"
      unconfirmed
      done={`${frozen.everywhere ? "Every environment" : environment} can be changed again`}
      run={async (reason, requestId) => {
        await freezes.lift({ environments: frozen.everywhere ? [] : [environment], reason, requestId });
        return {};
      }}
      onDone={() => void queries.invalidateQueries({ queryKey: freezesKey })}
      onClose={onClose}
    >
      <p>
        {frozen.actor} froze it: “{frozen.reason}”. From now on it can be changed again, and rollouts that held go on.
      </p>
    </ChangeDialog>
  );
}
