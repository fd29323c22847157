import "../../components/access/access.css";
import "../../styles/rules.css";
import { Code } from "@connectrpc/connect";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useState } from "react";
import { Link, useLocation, useParams } from "wouter";
import { instead, problemOf } from "../../api/errors";
import { useSession } from "../../api/session";
import { keys } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { roleMeanings, roleNames } from "../../components/access/grants";
import { AccessHistory } from "../../components/access/history";
import { RotateDialog } from "../../components/access/rotate-dialog";
import { Ago, Button, Card, Empty, Loading, Note } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { Command } from "../../components/command";
import { PageHead } from "../../components/page";
import { ProblemNote } from "../../components/problem";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { Key } from "../../gen/tidegate/access/v1/key_pb";
import type { KeyVersion } from "../../gen/tidegate/control/v1/key_service_pb";
import { dateOf, zoned } from "../../lib/time";
import { expiresOf, expiresText, KeyFields } from "./key-fields";
import { KeyState, MadeKey } from "./keys";
import { snippet } from "./snippets";

export default function KeyPage() {
  const environment = useEnvironment();
  const keyId = useParams<{ id: string }>().id;
  const query = useQuery({ queryKey: ["key", keyId], queryFn: () => keys.getKey({ keyId }) });
  const version = query.data?.key;
  const failure = instead(query);
  // Here, as it is not to go with what else is shown: there is no other copy of it.
  const [made, setMade] = useState<{ version: KeyVersion; secret: string }>();
  // What cannot be a key's id is refused, and not looked for.
  const code = failure ? problemOf(failure).code : undefined;
  const above = (
    <div className="small">
      <Link href={`/${environment}/keys`}>Keys</Link>
    </div>
  );
  return (
    <div className="page">
      {failure ? (
        <>
          <PageHead title={`Key ${keyId}`} tab={`Key · ${environment}`} above={above} />
          {code === Code.NotFound || code === Code.InvalidArgument ? (
            <Empty icon={KeyRound} title="There is no such key">
              <p>It was revoked, or the address is written otherwise.</p>
              <Link className="button" href={`/${environment}/keys`}>
                To all keys
              </Link>
            </Empty>
          ) : (
            <ProblemNote failure={failure} again={() => void query.refetch()} />
          )}
          {code !== Code.InvalidArgument && (
            <Card title="History">
              <AccessHistory
                queryKey={["key-history", environment, keyId]}
                fetch={() => keys.listKeyHistory({ environment, keyId, pageSize: 100 })}
              />
            </Card>
          )}
        </>
      ) : version?.key ? (
        <Shown version={version} of={version.key} environment={environment} above={above} onSecret={setMade} />
      ) : (
        <Loading rows={8} label="Loading the key" />
      )}
      {made && <MadeKey version={made.version} secret={made.secret} onClose={() => setMade(undefined)} />}
    </div>
  );
}

type Deed = "change" | "rotate" | "revoke";

function Shown({
  version,
  of: k,
  environment,
  above,
  onSecret,
}: {
  version: KeyVersion;
  of: Key;
  environment: string;
  above: React.ReactNode;
  onSecret: (made: { version: KeyVersion; secret: string }) => void;
}) {
  const session = useSession();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [deed, setDeed] = useState<Deed>();
  const may = version.environments.every((e) => session.may(Role.ADMINISTRATOR, e));
  const again = () => {
    for (const key of [["key", k.id], ["keys"], ["key-history"]]) void queries.invalidateQueries({ queryKey: key });
  };
  const use = snippet(k.role, version.environments);
  return (
    <>
      <PageHead
        title={k.name}
        tab={`${k.name} · key`}
        above={above}
        beside={<KeyState of={k} />}
        actions={
          may && (
            <>
              <Button onClick={() => setDeed("change")}>Change…</Button>
              <Button onClick={() => setDeed("rotate")}>Rotate…</Button>
              <Button kind="danger" onClick={() => setDeed("revoke")}>
                Revoke…
              </Button>
            </>
          )
        }
      >
        {roleMeanings[k.role || Role.RELAY]}
      </PageHead>
      <div className="columns">
        <Card title="About">
          <dl className="kv">
            <dt>Id</dt>
            <dd>
              <code>{k.id}</code>
            </dd>
            <dt>For</dt>
            <dd>{roleNames[k.role]}</dd>
            <dt>Opens</dt>
            <dd>{version.environments.join(", ")}</dd>
            <dt>Only keys of</dt>
            <dd>{k.flagPrefixes.length > 0 ? k.flagPrefixes.join(", ") : "all flags"}</dd>
            <dt>Owner</dt>
            <dd>{k.owner || "nobody"}</dd>
            <dt>Good until</dt>
            <dd>{k.expiresAt ? zoned(dateOf(k.expiresAt) ?? new Date(0)) : "no end"}</dd>
            <dt>Used last</dt>
            <dd>
              <Ago at={dateOf(version.lastUsedAt)} />
            </dd>
          </dl>
        </Card>
        <Card title="How it is used">
          <div className="stack tight">
            <p className="soft">{use.words}</p>
            <Command>{use.text}</Command>
          </div>
        </Card>
      </div>
      <Card title={`History in ${environment}`}>
        <AccessHistory
          queryKey={["key-history", environment, k.id]}
          fetch={() => keys.listKeyHistory({ environment, keyId: k.id, pageSize: 100 })}
        />
      </Card>
      {deed === "change" && (
        <ChangeKey
          version={version}
          of={k}
          environment={environment}
          onClose={() => setDeed(undefined)}
          onDone={again}
        />
      )}
      {deed === "rotate" && (
        <RotateDialog
          name={k.name}
          environment={environment}
          onClose={() => setDeed(undefined)}
          run={async (overlap, reason, requestId) => {
            const r = await keys.rotateKey({
              keyId: k.id,
              overlap: { seconds: BigInt(overlap) },
              baseRevision: version.revision,
              reason,
              requestId,
            });
            again();
            onSecret({ version, secret: r.secret });
          }}
        />
      )}
      {deed === "revoke" && (
        <ChangeDialog
          title={`Revoke ${k.name}`}
          environment={environment}
          unprotected
          danger
          label="Revoke"
          done={`${k.name} opens nothing any more`}
          run={async (reason, requestId) => {
            const { entries } = await keys.revokeKey({ keyId: k.id, reason, requestId });
            return { revision: entries.find((e) => e.environment === environment)?.revision };
          }}
          onDone={() => {
            again();
            navigate(`/${environment}/keys`);
          }}
          onClose={() => setDeed(undefined)}
        >
          <Note tone="bad">
            <strong>Whoever presents it is cut off at once, in {version.environments.join(", ")}</strong>
            <span>It cannot be brought back. To put another secret in its place without a gap: rotate it.</span>
          </Note>
        </ChangeDialog>
      )}
    </>
  );
}

function ChangeKey({
  version,
  of: k,
  environment,
  onClose,
  onDone,
}: {
  version: KeyVersion;
  of: Key;
  environment: string;
  onClose: () => void;
  onDone: () => void;
}) {
  const [form, setForm] = useState({
    name: k.name,
    owner: k.owner,
    environments: version.environments,
    prefixes: k.flagPrefixes,
    expires: expiresText(k.expiresAt),
  });
  const [base] = useState(version.revision);
  return (
    <ChangeDialog
      title={`Change ${k.name}`}
      environment={environment}
      unprotected
      wide
      label="Save"
      done={`${form.name} is changed`}
      run={async (reason, requestId) => {
        await keys.updateKey({
          keyId: k.id,
          name: form.name.trim(),
          owner: form.owner.trim(),
          environments: form.environments,
          flagPrefixes: form.prefixes,
          expiresAt: expiresOf(form.expires, k.expiresAt),
          baseRevision: base,
          reason,
          requestId,
        });
        return {};
      }}
      onDone={onDone}
      onClose={onClose}
    >
      <KeyFields form={form} set={setForm} role={k.role || Role.RELAY} />
    </ChangeDialog>
  );
}
