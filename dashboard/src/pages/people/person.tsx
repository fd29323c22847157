import "../../components/access/access.css";
import "../../styles/rules.css";
import { Code } from "@connectrpc/connect";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { UserX } from "lucide-react";
import { useState } from "react";
import { Link, useLocation, useParams } from "wouter";
import { instead, problemOf } from "../../api/errors";
import { useSession } from "../../api/session";
import { identities } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { grantWords } from "../../components/access/grants";
import { AccessHistory } from "../../components/access/history";
import { SecretDialog } from "../../components/access/secret-dialog";
import { Sessions } from "../../components/access/sessions";
import { Ago, Badge, Button, Card, Empty, Loading } from "../../components/basics";
import { PageHead } from "../../components/page";
import { ProblemNote } from "../../components/problem";
import { IdentityKind, Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { IdentityVersion } from "../../gen/tidegate/control/v1/identity_service_pb";
import { dateOf, zoned } from "../../lib/time";
import { proofWords } from "./people";
import { type PersonDeed, PersonDialogs } from "./person-dialogs";

export default function Person() {
  const environment = useEnvironment();
  const id = useParams<{ id: string }>().id;
  const query = useQuery({ queryKey: ["identity", id], queryFn: () => identities.getIdentity({ identity: id }) });
  const failure = instead(query);
  // Here, as it is not to go with what else is shown: there is no other copy of it.
  const [made, setMade] = useState<{ name: string; secret: string }>();
  return (
    <div className="page">
      {failure ? (
        <>
          <PageHead title="Nobody" tab="People" above={<Link href={`/${environment}/people`}>People</Link>} />
          {problemOf(failure).code === Code.NotFound ? (
            <Empty icon={UserX} title={`Nobody is called ${id} here`}>
              <p>They were removed, or the address is written otherwise.</p>
              <Link className="button" href={`/${environment}/people`}>
                To all people
              </Link>
            </Empty>
          ) : (
            <ProblemNote failure={failure} again={() => void query.refetch()} />
          )}
        </>
      ) : query.data?.identity ? (
        <Shown version={query.data.identity} environment={environment} onSecret={setMade} />
      ) : (
        <Loading rows={8} />
      )}
      {made && (
        <SecretDialog
          title={`The new secret of ${made.name}`}
          secret={made.secret}
          onClose={() => setMade(undefined)}
        />
      )}
    </div>
  );
}

function Shown({
  version,
  environment,
  onSecret,
}: {
  version: IdentityVersion;
  environment: string;
  onSecret: (made: { name: string; secret: string }) => void;
}) {
  const session = useSession();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [deed, setDeed] = useState<PersonDeed>();
  const i = version.identity;
  if (!i) return null;
  const mayAdminister = session.may(Role.ADMINISTRATOR, "");
  const again = () => {
    for (const key of [["identity", i.id], ["identities"], ["identity-history", i.id], ["sessions", i.id]])
      void queries.invalidateQueries({ queryKey: key });
  };
  const service = i.kind === IdentityKind.SERVICE;
  return (
    <>
      <PageHead
        title={i.displayName || i.name}
        tab={i.name}
        above={
          <div className="small">
            <Link href={`/${environment}/people`}>People</Link>
          </div>
        }
        beside={
          <>
            {service && <Badge>service</Badge>}
            {i.disabled && <Badge tone="warn">disabled</Badge>}
          </>
        }
        actions={
          mayAdminister && (
            <>
              <Button onClick={() => setDeed("grants")}>Change what they may…</Button>
              {service ? (
                <Button onClick={() => setDeed("rotate")}>Rotate the secret…</Button>
              ) : (
                <Button onClick={() => setDeed("password")}>Reset the password…</Button>
              )}
              <Button onClick={() => setDeed("disable")}>{i.disabled ? "Enable…" : "Disable…"}</Button>
              <Button kind="danger" onClick={() => setDeed("delete")}>
                Remove…
              </Button>
            </>
          )
        }
      >
        {i.name}
      </PageHead>
      <div className="columns">
        <Card title="May">
          <ul className="stack tight">
            {i.grants.map((g) => (
              <li key={grantWords(g)}>{grantWords(g)}</li>
            ))}
            {i.grants.length === 0 && <li className="soft">Nothing.</li>}
          </ul>
        </Card>
        <Card title="About">
          <dl className="kv">
            <dt>Proves it by</dt>
            <dd>{proofWords(i)}</dd>
            {i.owner && (
              <>
                <dt>Owner</dt>
                <dd>{i.owner}</dd>
              </>
            )}
            <dt>Called last</dt>
            <dd>
              <Ago at={dateOf(version.lastUsedAt)} />
            </dd>
            <dt>Made</dt>
            <dd>
              <Ago at={dateOf(i.createdAt)} />
            </dd>
            {i.secrets.map((s, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: secrets have no name
              <SecretAge key={at} made={dateOf(s.createdAt)} ends={dateOf(s.expiresAt)} />
            ))}
          </dl>
        </Card>
      </div>
      {!service && (
        <Card title="Sessions">
          <Sessions identityId={i.id} />
        </Card>
      )}
      <Card title="History">
        <AccessHistory
          queryKey={["identity-history", i.id]}
          fetch={() => identities.listIdentityHistory({ id: i.id, pageSize: 100 })}
        />
      </Card>
      {deed && (
        <PersonDialogs
          deed={deed}
          version={version}
          environment={environment}
          onClose={() => setDeed(undefined)}
          onDone={() => {
            again();
            if (deed === "delete") navigate(`/${environment}/people`);
          }}
          onSecret={(secret) => onSecret({ name: i.name, secret })}
        />
      )}
    </>
  );
}

function SecretAge({ made, ends }: { made: Date | undefined; ends: Date | undefined }) {
  return (
    <>
      <dt>Secret</dt>
      <dd>
        made <Ago at={made} />
        {ends && `, good until ${zoned(ends)}`}
      </dd>
    </>
  );
}
