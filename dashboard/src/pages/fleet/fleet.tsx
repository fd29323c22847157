import "./fleet.css";
import { Network } from "lucide-react";
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { useSession } from "../../api/session";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { Card, Empty, Loading, Note } from "../../components/basics";
import { Command } from "../../components/command";
import { PageHead } from "../../components/page";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { Relay } from "../../gen/tidegate/control/v1/fleet_service_pb";
import { plural } from "../../lib/numbers";
import { ForgetDialog } from "./forget-dialog";
import { LastChange } from "./last-change";
import { isSent } from "./propagation";
import { RelayTable } from "./relay-table";
import { byRegion } from "./relays";
import { TreePicture } from "./tree-picture";
import { usePassings } from "./use-passings";

export default function Fleet() {
  const environment = useEnvironment();
  const session = useSession();
  const relays = useLive((l) => l.relays);
  const ready = useLive((l) => l.ready);
  const entries = useLive((l) => l.entries);
  const unreachable = useLive((l) => l.unreachableServers);
  const passings = usePassings(environment);
  const all = useMemo(() => [...relays.values()], [relays]);
  const regions = useMemo(() => byRegion(all, environment), [all, environment]);
  const sent = useMemo(() => entries.filter(isSent), [entries]);
  const [forgetting, setForgetting] = useState<Relay>();
  const mayForget = session.may(Role.OPERATOR, "");

  return (
    <div className="page">
      <PageHead title="Fleet" tab={`Fleet · ${environment}`}>
        {ready ? summary(all, regions.length) : "Loading…"}
      </PageHead>
      {unreachable.length > 0 && (
        <Note tone="warn">
          <strong>{plural(unreachable.length, "control server does", "control servers do")} not answer</strong>
          <span>
            {unreachable.join(", ")}: relays that are connected there may be missing here, or shown as they were.
          </span>
        </Note>
      )}
      {!ready ? (
        <Card>
          <Loading rows={6} label="Loading the relays" />
        </Card>
      ) : relays.size === 0 ? (
        <Card>
          <NoRelay environment={environment} open={session.open} />
        </Card>
      ) : (
        <>
          <div className="fleet-top">
            <LastChange environment={environment} entries={sent} passings={passings} />
            <Card title="Who follows whom">
              <TreePicture relays={all} environment={environment} />
            </Card>
          </div>
          <Card title="Relays" flush>
            <RelayTable
              regions={regions}
              environment={environment}
              onForget={mayForget ? (relay) => setForgetting(relay) : undefined}
            />
          </Card>
        </>
      )}
      {forgetting && <ForgetDialog relay={forgetting} onClose={() => setForgetting(undefined)} />}
    </div>
  );
}

function summary(relays: Relay[], regions: number): string {
  if (relays.length === 0) return "Relays answer your services, close to them.";
  const away = relays.filter((r) => !r.connected).length;
  const all = `${plural(relays.length, "relay")} in ${plural(regions, "region")}`;
  return away === 0 ? `${all}, all connected` : `${all}, ${away} not connected`;
}

function NoRelay({ environment, open }: { environment: string; open: boolean }) {
  const command = [
    `tidegate-relay --upstream ${window.location.hostname}:7013 \\`,
    `  --environments ${environment} --region eu-west \\`,
    `  --state-dir /var/lib/tidegate-relay${open ? "" : " --key-file relay.key"}`,
  ].join("\n");
  return (
    <Empty icon={Network} title={`No relay follows ${environment}`}>
      <p>
        A relay keeps a copy of the flags beside your services, answers them, and goes on when everything else is down.
        Start one where they run:
      </p>
      <div className="start">
        <Command>{command}</Command>
        <p className="small">
          7013 is the server’s port for gRPC, unless it was told another one.{" "}
          {!open && (
            <>
              The relay shows a key: <Link href={`/${environment}/keys`}>make one</Link> for relays, and put it into{" "}
              <code>relay.key</code>.
            </>
          )}
        </p>
      </div>
    </Empty>
  );
}
