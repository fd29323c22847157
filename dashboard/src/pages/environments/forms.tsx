import { clone, create } from "@bufbuild/protobuf";
import { useQueries } from "@tanstack/react-query";
import { Plus, Trash2 } from "lucide-react";
import { settingsOf, useEnvironments } from "../../api/use-environment";
import { Prefixes } from "../../components/access/grants-editor";
import { Button, Card, Field, IconButton, Input, Select } from "../../components/basics";
import { useForm, useProblem } from "../../components/draft";
import {
  ApprovalPolicySchema,
  type EnvironmentSettings,
  FileSourceSchema,
  type FlagPolicy,
  FlagPolicySchema,
  PromotionSchema,
} from "../../gen/tidegate/control/v1/environment_pb";
import { Chain } from "./environments";
import { chains } from "./order";
import type { Edit } from "./settings";

export type SettingsForm = { settings: EnvironmentSettings; edit: Edit; disabled: boolean; environment: string };

export function Protection({ settings, edit, disabled }: SettingsForm) {
  return (
    <Card title="Protection">
      <label className="check">
        <input
          type="checkbox"
          disabled={disabled}
          checked={settings.protected}
          onChange={(e) =>
            edit((s) => {
              s.protected = e.target.checked;
            })
          }
        />
        Protected: it takes an operator to change flags here, and its name is typed first
      </label>
    </Card>
  );
}

export function Approval({ settings, edit, disabled }: SettingsForm) {
  const policy = settings.approval;
  const set = (to: { approvals?: number; explanation?: string }) =>
    edit((s) => {
      const next = Object.assign(policy ? clone(ApprovalPolicySchema, policy) : create(ApprovalPolicySchema), to);
      s.approval = next.approvals === 0 && next.explanation === "" ? undefined : next;
    });
  return (
    <Card title="Approval">
      <div className="pair">
        <Field
          label="How many others must approve a change"
          hint="To turn a flag off, and to abort a rollout, never needs any."
          problem={useProblem("approval.approvals")}
        >
          {(ids) => (
            <Select
              {...ids}
              disabled={disabled}
              value={policy?.approvals ?? 0}
              onChange={(e) => set({ approvals: Number(e.target.value) })}
            >
              {[0, 1, 2, 3, 4, 5].map((n) => (
                <option key={n} value={n}>
                  {n === 0 ? "nobody" : n}
                </option>
              ))}
            </Select>
          )}
        </Field>
        <Field label="What people are told (optional)" problem={useProblem("approval.explanation")}>
          {(ids) => (
            <Input
              {...ids}
              disabled={disabled}
              maxLength={128}
              value={policy?.explanation ?? ""}
              onChange={(e) => set({ explanation: e.target.value })}
            />
          )}
        </Field>
      </div>
    </Card>
  );
}

export function Order({ settings, edit, disabled, environment }: SettingsForm) {
  const names = useEnvironments().data ?? [];
  const others = names.filter((n) => n !== environment);
  const known = useQueries({
    queries: others.map(settingsOf),
  });
  const p = settings.promotion;
  const order = chains([
    { name: environment, from: p?.from ?? "" },
    ...others.map((name, i) => ({ name, from: known[i]?.data?.settings?.promotion?.from ?? "" })),
  ]).filter((c) => c.includes(environment));
  return (
    <Card title="Order">
      <div className="stack">
        {order.map((c) => (
          <Chain key={c.join("/")} names={c} here={environment} />
        ))}
        <div className="pair">
          <Field
            label="Comes after"
            hint="Flags and segments are promoted from there, and from nowhere else."
            problem={useProblem("promotion", true)}
          >
            {(ids) => (
              <Select
                {...ids}
                disabled={disabled}
                value={p?.from ?? ""}
                onChange={(e) =>
                  edit((s) => {
                    s.promotion = e.target.value
                      ? create(PromotionSchema, { from: e.target.value, required: s.promotion?.required })
                      : undefined;
                  })
                }
              >
                <option value="">no other environment</option>
                {others.map((n) => (
                  <option key={n}>{n}</option>
                ))}
              </Select>
            )}
          </Field>
          {p?.from && (
            <label className="check">
              <input
                type="checkbox"
                disabled={disabled}
                checked={p.required}
                onChange={(e) =>
                  edit((s) => {
                    if (s.promotion) s.promotion.required = e.target.checked;
                  })
                }
              />
              Flags and segments must be as they are in {p.from}
            </label>
          )}
        </div>
      </div>
    </Card>
  );
}

export function Policy({ settings, edit, disabled }: SettingsForm) {
  const prefixes = useProblem("flag_policy.key_prefixes", true);
  const p = settings.flagPolicy;
  const set = (to: Partial<FlagPolicy>) =>
    edit((s) => {
      const next = Object.assign(p ? clone(FlagPolicySchema, p) : create(FlagPolicySchema), to);
      const empty =
        !next.keyPattern &&
        next.keyPrefixes.length === 0 &&
        !next.requireOwner &&
        !next.requireKind &&
        !next.explanation;
      s.flagPolicy = empty ? undefined : next;
    });
  return (
    <Card title="What new flags must be like">
      <div className="stack">
        <div className="pair">
          <Field
            label="Keys must match (optional)"
            hint="A regular expression, for the whole key: [a-z]+-[a-z-]+"
            problem={useProblem("flag_policy.key_pattern")}
          >
            {(ids) => (
              <Input
                {...ids}
                className="mono"
                spellCheck={false}
                disabled={disabled}
                value={p?.keyPattern ?? ""}
                onChange={(e) => set({ keyPattern: e.target.value })}
              />
            )}
          </Field>
          <Field
            label="What people are told (optional)"
            hint="Such as where this is written down."
            problem={useProblem("flag_policy.explanation")}
          >
            {(ids) => (
              <Input
                {...ids}
                maxLength={128}
                disabled={disabled}
                value={p?.explanation ?? ""}
                onChange={(e) => set({ explanation: e.target.value })}
              />
            )}
          </Field>
        </div>
        {!disabled && (
          <Prefixes values={p?.keyPrefixes ?? []} set={(keyPrefixes) => set({ keyPrefixes })} problem={prefixes} />
        )}
        <div className="row">
          <label className="check">
            <input
              type="checkbox"
              disabled={disabled}
              checked={p?.requireOwner ?? false}
              onChange={(e) => set({ requireOwner: e.target.checked })}
            />
            They must have an owner
          </label>
          <label className="check">
            <input
              type="checkbox"
              disabled={disabled}
              checked={p?.requireKind ?? false}
              onChange={(e) => set({ requireKind: e.target.checked })}
            />
            They must have a kind
          </label>
        </div>
      </div>
    </Card>
  );
}

const sourceTexts = [
  ["name", "name", "Name", "As keys of flags are."],
  ["location", "location", "Where the files are (optional)", "Such as a repository's address."],
  [
    "appliedBy",
    "applied_by",
    "Applied by (optional)",
    "The one service that applies it: reviewed in git, it needs no approval here.",
  ],
] as const;

export function FileSources({ settings, edit, disabled }: SettingsForm) {
  const { problems } = useForm();
  return (
    <Card
      title="What is kept in files"
      actions={
        !disabled && (
          <Button small onClick={() => edit((s) => void s.fileSources.push(create(FileSourceSchema)))}>
            <Plus size={14} aria-hidden /> Add a source
          </Button>
        )
      }
    >
      <div className="stack">
        {settings.fileSources.length === 0 && <p className="soft">Nothing: flags are edited here.</p>}
        {settings.fileSources.map((f, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: its name is being typed
          <div className="part" key={i}>
            <div className="pair">
              {sourceTexts.map(([field, path, label, hint]) => (
                <Field key={field} label={label} hint={hint} problem={problems.get(`file_sources[${i}].${path}`)}>
                  {(ids) => (
                    <Input
                      {...ids}
                      disabled={disabled}
                      spellCheck={false}
                      value={f[field]}
                      onChange={(e) =>
                        edit((s) => {
                          const at = s.fileSources[i];
                          if (at) at[field] = e.target.value;
                        })
                      }
                    />
                  )}
                </Field>
              ))}
            </div>
            {!disabled && (
              <div className="row spread fixed">
                <Prefixes
                  values={f.keyPrefixes}
                  problem={problems.get(`file_sources[${i}].key_prefixes`)}
                  set={(keyPrefixes) =>
                    edit((s) => {
                      const at = s.fileSources[i];
                      if (at) at.keyPrefixes = keyPrefixes;
                    })
                  }
                />
                <IconButton
                  icon={Trash2}
                  label={`Take away the source ${f.name}`}
                  onClick={() => edit((s) => void s.fileSources.splice(i, 1))}
                />
              </div>
            )}
          </div>
        ))}
      </div>
    </Card>
  );
}
