import { useQuery, useQueryClient } from "@tanstack/react-query";
import { KeyRound, Plus } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { useSession } from "../../api/session";
import { keys } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { roleMeanings, roleNames } from "../../components/access/grants";
import { SearchedTable } from "../../components/access/searched-table";
import { SecretDialog } from "../../components/access/secret-dialog";
import { Ago, Badge, Button, Note } from "../../components/basics";
import { Command } from "../../components/command";
import { PageHead } from "../../components/page";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { Key } from "../../gen/tidegate/access/v1/key_pb";
import type { KeyVersion } from "../../gen/tidegate/control/v1/key_service_pb";
import { dateOf, zoned } from "../../lib/time";
import { CreateKeyDialog } from "./create-key";
import { snippet } from "./snippets";

async function all(environment: string): Promise<KeyVersion[]> {
  const found: KeyVersion[] = [];
  for (let pageToken = ""; ; ) {
    const page = await keys.listKeys({ environment, pageSize: 1000, pageToken });
    found.push(...page.keys);
    if (!page.nextPageToken) return found.sort((a, b) => ((a.key?.name ?? "") < (b.key?.name ?? "") ? -1 : 1));
    pageToken = page.nextPageToken;
  }
}

// What relays and programs present, to follow an environment or to evaluate.
export default function Keys() {
  const environment = useEnvironment();
  const session = useSession();
  const queries = useQueryClient();
  const may = session.may(Role.ADMINISTRATOR, environment);
  const query = useQuery({ queryKey: ["keys", environment], queryFn: () => all(environment), enabled: may });
  const [creating, setCreating] = useState(false);
  const [made, setMade] = useState<{ version: KeyVersion; secret: string }>();
  return (
    <div className="page">
      <PageHead
        title="Keys"
        tab={`Keys · ${environment}`}
        actions={
          may && (
            <Button kind="primary" onClick={() => setCreating(true)}>
              <Plus size={16} aria-hidden /> New key
            </Button>
          )
        }
      >
        What relays and programs present. These open {environment}. People and services have no key: they are under{" "}
        <Link href={`/${environment}/people`}>People</Link>.
      </PageHead>
      {!may ? (
        <Note>
          <span>Keys are an administrator's: ask one for what your program needs.</span>
        </Note>
      ) : (
        <SearchedTable
          what="keys"
          query={query}
          said={(v) => `${v.key?.name} ${v.key?.id} ${v.key?.owner} ${v.key && roleNames[v.key.role]}`}
          by="name, id, owner or role"
          columns={["Key", "For", "Opens", "Good until", "Used last"]}
          row={(v) => v.key && <Row key={v.key.id} version={v} of={v.key} environment={environment} />}
          icon={KeyRound}
          none="No key is like that"
          nothing={<p>A relay needs a key to follow {environment}; a program needs one to evaluate.</p>}
        />
      )}
      {creating && (
        <CreateKeyDialog
          onClose={() => setCreating(false)}
          onCreated={(version, secret) => {
            void queries.invalidateQueries({ queryKey: ["keys"] });
            setMade({ version, secret });
          }}
        />
      )}
      {made && <MadeKey version={made.version} secret={made.secret} onClose={() => setMade(undefined)} />}
    </div>
  );
}

export function MadeKey({ version, secret, onClose }: { version: KeyVersion; secret: string; onClose: () => void }) {
  const use = snippet(version.key?.role ?? Role.RELAY, version.environments);
  return (
    <SecretDialog title={`The secret of ${version.key?.name}`} secret={secret} onClose={onClose}>
      <p className="soft">{use.words}</p>
      <Command>{use.text}</Command>
    </SecretDialog>
  );
}

// How a key stands.
export function KeyState({ of: k }: { of: Key }) {
  const expires = dateOf(k.expiresAt);
  const rotating = dateOf(k.previousExpiresAt);
  if (expires && expires <= new Date()) return <Badge tone="bad">expired</Badge>;
  if (rotating && rotating > new Date())
    return (
      <Badge tone="warn" title={`The secret before is good until ${zoned(rotating)}`}>
        rotating
      </Badge>
    );
  return null;
}

function Row({ version, of: k, environment }: { version: KeyVersion; of: Key; environment: string }) {
  return (
    <tr>
      <td>
        <Link className="name" href={`/${environment}/keys/${k.id}`}>
          {k.name}
        </Link>{" "}
        <KeyState of={k} />
        <div className="small soft">
          <code>{k.id}</code>
          {k.owner && ` · ${k.owner}`}
        </div>
      </td>
      <td className="small" title={roleMeanings[k.role]}>
        {roleNames[k.role]}
        {k.flagPrefixes.length > 0 && <div className="faint">{k.flagPrefixes.join(", ")}</div>}
      </td>
      <td className="small">{version.environments.join(", ")}</td>
      <td className="small soft">{k.expiresAt ? <Ago at={dateOf(k.expiresAt)} /> : "no end"}</td>
      <td className="small soft">
        <Ago at={dateOf(version.lastUsedAt)} />
      </td>
    </tr>
  );
}
