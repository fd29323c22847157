import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Plus, UserRound } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { useSession } from "../../api/session";
import { identities } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { grantWords } from "../../components/access/grants";
import { SearchedTable } from "../../components/access/searched-table";
import { SecretDialog } from "../../components/access/secret-dialog";
import { Ago, Badge, Button, Note } from "../../components/basics";
import { Command } from "../../components/command";
import { PageHead } from "../../components/page";
import { type Identity, IdentityKind, Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { IdentityVersion } from "../../gen/tidegate/control/v1/identity_service_pb";
import { dateOf } from "../../lib/time";
import { CreateDialog } from "./create-dialog";

async function all(): Promise<IdentityVersion[]> {
  const found: IdentityVersion[] = [];
  for (let pageToken = ""; ; ) {
    const page = await identities.listIdentities({ pageSize: 1000, pageToken });
    found.push(...page.identities);
    if (!page.nextPageToken) return found.sort(inOrder);
    pageToken = page.nextPageToken;
  }
}

// People before services, by name.
function inOrder(a: IdentityVersion, b: IdentityVersion): number {
  return (a.identity?.kind ?? 0) - (b.identity?.kind ?? 0) || (nameOf(a) < nameOf(b) ? -1 : 1);
}

// Everybody who may call: people who log in, and services that present a secret.
export default function People() {
  const environment = useEnvironment();
  const session = useSession();
  const queries = useQueryClient();
  const mayAdminister = session.may(Role.ADMINISTRATOR, "");
  const query = useQuery({ queryKey: ["identities"], queryFn: all, enabled: mayAdminister && !session.open });
  const [creating, setCreating] = useState(false);
  const [secret, setSecret] = useState<{ name: string; secret: string }>();

  return (
    <div className="page">
      <PageHead
        title="People"
        tab="People"
        actions={
          mayAdminister &&
          !session.open && (
            <Button kind="primary" onClick={() => setCreating(true)}>
              <Plus size={16} aria-hidden /> Add somebody
            </Button>
          )
        }
      >
        People who log in, and services that call with a secret. They are the same in all environments.
      </PageHead>
      {session.open ? (
        <Note>
          <strong>This server asks nobody who they are</strong>
          <span>
            Everybody who reaches it may do everything. Start it without <code>--open</code>, and people log in.
          </span>
        </Note>
      ) : !mayAdminister ? (
        <Note>
          <span>
            Administrators see who else there is. What you may do yourself is on{" "}
            <Link href={`/${environment}/account`}>your account</Link>.
          </span>
        </Note>
      ) : (
        <SearchedTable
          what="people"
          query={query}
          said={({ identity: i }) => `${i?.name} ${i?.displayName} ${i?.owner} ${i?.grants.map(grantWords).join(" ")}`}
          by="name, owner or role"
          columns={["Name", "May", "Proves it by", "Called last"]}
          row={(v) => v.identity && <Row key={v.identity.id} version={v} environment={environment} />}
          icon={UserRound}
          none="Nobody is like that"
          nothing={undefined}
        />
      )}
      {creating && (
        <CreateDialog
          onClose={() => setCreating(false)}
          onCreated={(name, made) => {
            void queries.invalidateQueries({ queryKey: ["identities"] });
            if (made) setSecret({ name, secret: made });
          }}
        />
      )}
      {secret && (
        <SecretDialog
          title={`The secret of ${secret.name}`}
          secret={secret.secret}
          onClose={() => setSecret(undefined)}
        >
          <p className="soft">The command line reads it from a file:</p>
          <Command>{"export TIDEGATE_KEY_FILE=~/.tidegate.key\ntidegate flag list -e production"}</Command>
        </SecretDialog>
      )}
    </div>
  );
}

const nameOf = (v: IdentityVersion) => v.identity?.name ?? "";

export function proofWords(i: Identity): string {
  if (i.kind === IdentityKind.SERVICE) return i.certificateNames.length > 0 ? "secret or certificate" : "secret";
  if (i.openid) return "OpenID";
  return "password or OpenID";
}

function Row({ version, environment }: { version: IdentityVersion; environment: string }) {
  const i = version.identity;
  if (!i) return null;
  const expires = dateOf(i.expiresAt);
  return (
    <tr className={i.disabled ? "off" : undefined}>
      <td>
        <Link className="name" href={`/${environment}/people/${i.id}`}>
          {i.displayName || i.name}
        </Link>{" "}
        {i.kind === IdentityKind.SERVICE && <Badge>service</Badge>} {i.disabled && <Badge tone="warn">disabled</Badge>}{" "}
        {expires && expires < new Date() && <Badge tone="warn">expired</Badge>}
        <div className="small soft">{i.displayName ? i.name : i.owner}</div>
      </td>
      <td className="small">
        {i.grants.map((g) => (
          <div key={grantWords(g)}>{grantWords(g)}</div>
        ))}
        {i.grants.length === 0 && <span className="faint">nothing</span>}
      </td>
      <td className="small soft">{proofWords(i)}</td>
      <td className="small soft">
        <Ago at={dateOf(version.lastUsedAt)} />
      </td>
    </tr>
  );
}
