import { Trash2 } from "lucide-react";
import { Ago, Badge, IconButton } from "../../components/basics";
import type { Relay } from "../../gen/tidegate/control/v1/fleet_service_pb";
import { count, plural } from "../../lib/numbers";
import { dateOf, secondsOf, span } from "../../lib/time";
import { appliedOf, type Region, standingOf } from "./relays";

// The relays by region, with all that is known of each.
export function RelayTable({
  regions,
  environment,
  onForget,
}: {
  regions: Region[];
  environment: string;
  // Undefined: one may not.
  onForget?: (relay: Relay) => void;
}) {
  return (
    <table className="table relays">
      <thead>
        <tr>
          <th scope="col">Relay</th>
          <th scope="col">State</th>
          <th scope="col" className="right" title="The revision of the environment that it has applied and keeps">
            Revision
          </th>
          <th scope="col" className="right" title="How long ago what it has was surely the newest">
            Age
          </th>
          <th scope="col" title="The relay or control server that it gets changes from">
            Follows
          </th>
          <th scope="col" className="right" title="SDKs and relays that follow it">
            Streams
          </th>
          <th scope="col">Heard of</th>
          <th>
            <span className="visually-hidden">What can be done</span>
          </th>
        </tr>
      </thead>
      {regions.map((region) => (
        <tbody key={region.name}>
          <tr className="group">
            <th colSpan={8} scope="rowgroup">
              {region.name || "No region"}{" "}
              <span className="soft">
                · {plural(region.relays.length, "relay")},{" "}
                {region.upToDate === region.relays.length ? "all up to date" : `${region.upToDate} up to date`}
              </span>
            </th>
          </tr>
          {region.relays.map((r) => (
            <Row key={r.instanceId} relay={r} environment={environment} onForget={onForget} />
          ))}
        </tbody>
      ))}
    </table>
  );
}

function Row({
  relay,
  environment,
  onForget,
}: {
  relay: Relay;
  environment: string;
  onForget?: (relay: Relay) => void;
}) {
  const applied = appliedOf(relay, environment);
  const standing = standingOf(relay, environment);
  const age = secondsOf(applied?.age);
  return (
    <tr>
      <td>
        <div className="name truncate" title={relay.instanceId}>
          {relay.instanceId}
        </div>
        <div className="small faint truncate">{relay.version ? `version ${relay.version}` : "version not told"}</div>
      </td>
      <td>
        <Badge tone={standing.tone} title={standing.why}>
          {standing.words}
        </Badge>
      </td>
      <td className="right num" data-label="Revision">
        {applied?.cursor ? applied.cursor.revision.toString() : <span className="faint">none</span>}
      </td>
      <td className="right num nowrap" data-label="Age">
        {age === undefined ? <span className="faint">not told</span> : span(Math.round(age))}
      </td>
      <td data-label="Follows">
        <div className="truncate upstream" title={relay.upstream}>
          {relay.upstream === relay.server ? "control server" : relay.upstream}
        </div>
      </td>
      <td className="right num" data-label="Streams">
        {count(relay.streams)}
      </td>
      <td data-label="Heard of">
        <Ago at={dateOf(relay.lastSeen)} />
      </td>
      <td className="right">
        {onForget && !relay.connected && (
          <IconButton icon={Trash2} small label={`Forget ${relay.instanceId}`} onClick={() => onForget(relay)} />
        )}
      </td>
    </tr>
  );
}
