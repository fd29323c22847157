import "../../components/access/access.css";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Plus, Search, UserRound } from "lucide-react";
import { useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useSession } from "../../api/session";
import { identities } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { grantWords } from "../../components/access/grants";
import { SecretDialog } from "../../components/access/secret-dialog";
import { Ago, Badge, Button, Empty, Input, Loading, Note } from "../../components/basics";
import { Command } from "../../components/command";
import { PageHead } from "../../components/page";
import { ProblemNote } from "../../components/problem";
import { type Identity, IdentityKind, Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { IdentityVersion } from "../../gen/tidegate/control/v1/identity_service_pb";
import { dateOf } from "../../lib/time";
import { CreateDialog } from "./create-dialog";

async function all(): Promise<IdentityVersion[]> {
  const found: IdentityVersion[] = [];
  for (let pageToken = ""; ; ) {
    const page = await identities.listIdentities({ pageSize: 1000, pageToken });
    found.push(...page.identities);
    if (!page.nextPageToken) return found;
    pageToken = page.nextPageToken;
  }
}

// Everybody who may call: people who log in, and services that present a secret.
export default function People() {
  const environment = useEnvironment();
  const session = useSession();
  const [, navigate] = useLocation();
  const text = new URLSearchParams(useSearch()).get("q") ?? "";
  const queries = useQueryClient();
  const mayAdminister = session.may(Role.ADMINISTRATOR, "");
  const query = useQuery({ queryKey: ["identities"], queryFn: all, enabled: mayAdminister && !session.open });
  const [creating, setCreating] = useState(false);
  const [secret, setSecret] = useState<{ name: string; secret: string }>();
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = (query.data ?? [])
    .filter((v) => {
      const i = v.identity;
      const said = `${i?.name} ${i?.displayName} ${i?.owner} ${i?.grants.map(grantWords).join(" ")}`.toLowerCase();
      return words.every((w) => said.includes(w));
    })
    .sort((a, b) => (a.identity?.kind ?? 0) - (b.identity?.kind ?? 0) || (nameOf(a) < nameOf(b) ? -1 : 1));

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
      ) : query.error ? (
        <ProblemNote failure={query.error} again={() => void query.refetch()} />
      ) : (
        <>
          <search>
            <Input
              type="search"
              aria-label="Search the people"
              placeholder="Search by name, owner or role"
              value={text}
              onChange={(e) =>
                navigate(`/${environment}/people${e.target.value ? `?q=${encodeURIComponent(e.target.value)}` : ""}`, {
                  replace: true,
                })
              }
            />
          </search>
          <section className="card" aria-label="People and services">
            {!query.data ? (
              <div className="body">
                <Loading rows={5} label="Loading the people" />
              </div>
            ) : found.length === 0 ? (
              <Empty icon={text ? Search : UserRound} title="Nobody is like that" />
            ) : (
              <div className="scroll-x">
                <table className="table">
                  <thead>
                    <tr>
                      <th scope="col">Name</th>
                      <th scope="col">May</th>
                      <th scope="col">Proves it by</th>
                      <th scope="col">Called last</th>
                    </tr>
                  </thead>
                  <tbody>
                    {found.map((v) => v.identity && <Row key={v.identity.id} version={v} environment={environment} />)}
                  </tbody>
                </table>
              </div>
            )}
          </section>
        </>
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
