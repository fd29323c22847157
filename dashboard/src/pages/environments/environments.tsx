import "./environments.css";
import { useQueries, useQuery } from "@tanstack/react-query";
import { ArrowRight, Boxes, GitCompare, Plus, Settings2 } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { instead } from "../../api/errors";
import { useSession } from "../../api/session";
import { environments } from "../../api/transport";
import { settingsOf, useEnvironment } from "../../api/use-environment";
import { useFreezes } from "../../api/use-freeze";
import { Badge, Button, Card, Empty, Loading } from "../../components/basics";
import { PageHead } from "../../components/page";
import { ProblemNote } from "../../components/problem";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { EnvironmentSettings } from "../../gen/tidegate/control/v1/environment_pb";
import type { Environment } from "../../gen/tidegate/control/v1/environment_service_pb";
import { frozenWords } from "../../lib/freeze-words";
import { dateOf, zoned } from "../../lib/time";
import { CreateEnvironmentDialog } from "./create-environment";
import { chains } from "./order";

// All environments: what they hold, and what holds for them.
export default function Environments() {
  const here = useEnvironment();
  const session = useSession();
  const [creating, setCreating] = useState(false);
  const query = useQuery({
    queryKey: ["environment-list"],
    queryFn: async () => (await environments.listEnvironments({})).environments,
    refetchInterval: 10_000,
  });
  const all = query.data ?? [];
  const settings = useQueries({
    queries: all.map((e) => settingsOf(e.name)),
  });
  const known = all.map((e, i) => ({ name: e.name, from: settings[i]?.data?.settings?.promotion?.from ?? "" }));
  const order = chains(known);
  const failure = instead(query);
  const mayCreate = session.may(Role.ADMINISTRATOR, "");
  return (
    <div className="page">
      <PageHead
        title="Environments"
        tab="Environments"
        actions={
          <>
            {all.length > 1 && (
              <Link className="button" href={`/${here}/environments/compare`}>
                <GitCompare size={16} aria-hidden /> Compare and promote
              </Link>
            )}
            {mayCreate && (
              <Button kind="primary" onClick={() => setCreating(true)}>
                <Plus size={16} aria-hidden /> New environment
              </Button>
            )}
          </>
        }
      >
        Each has flags and segments of its own. Relays follow those that they are told.
      </PageHead>
      {order.length > 0 && (
        <Card title="In this order">
          <div className="stack tight">
            {order.map((chain) => (
              <Chain key={chain.join("/")} names={chain} here={here} />
            ))}
          </div>
        </Card>
      )}
      {failure ? (
        <ProblemNote failure={failure} again={() => void query.refetch()} />
      ) : (
        <section className="card" aria-label="Environments">
          {!query.data ? (
            <div className="body">
              <Loading rows={3} label="Loading the environments" />
            </div>
          ) : all.length === 0 ? (
            <Empty icon={Boxes} title="There are none that you may see" />
          ) : (
            <div className="scroll-x">
              <table className="table">
                <thead>
                  <tr>
                    <th scope="col">Environment</th>
                    <th scope="col" className="right">
                      Flags
                    </th>
                    <th scope="col" className="right">
                      Segments
                    </th>
                    <th scope="col">What holds there</th>
                    <th scope="col" className="right">
                      Revision
                    </th>
                    <th scope="col">
                      <span className="visually-hidden">Settings</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {all.map((e, i) => (
                    <Row key={e.name} environment={e} settings={settings[i]?.data?.settings} />
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </section>
      )}
      {creating && <CreateEnvironmentDialog names={all.map((e) => e.name)} onClose={() => setCreating(false)} />}
    </div>
  );
}

// Environments as flags go through them.
export function Chain({ names, here }: { names: string[]; here: string }) {
  return (
    <div className="chain">
      <span className="visually-hidden">{names.join(", then ")}</span>
      {names.map((n, i) => (
        <span key={n} className="row tight" aria-hidden>
          {i > 0 && <ArrowRight size={16} />}
          <span className={`link ${n === here ? "here" : ""}`}>{n}</span>
        </span>
      ))}
    </div>
  );
}

function Row({ environment: e, settings: s }: { environment: Environment; settings: EnvironmentSettings | undefined }) {
  const freeze = useFreezes().data?.environments.find((f) => f.environment === e.name);
  const frozen = freeze?.frozen[0];
  const next = dateOf(freeze?.next?.since);
  return (
    <tr>
      <td>
        <Link className="name" href={`/${e.name}/flags`}>
          <strong>{e.name}</strong>
        </Link>
      </td>
      <td className="right num">{e.flagCount}</td>
      <td className="right num">{e.segmentCount}</td>
      <td>
        <div className="row tight">
          {frozen && (
            <Badge tone="accent" title={frozenWords(frozen)}>
              frozen
            </Badge>
          )}
          {s?.protected && (
            <Badge tone="bad" title="It takes an operator to write here">
              protected
            </Badge>
          )}
          {(s?.approval?.approvals ?? 0) > 0 && (
            <Badge tone="warn">
              {s?.approval?.approvals} {s?.approval?.approvals === 1 ? "approval" : "approvals"}
            </Badge>
          )}
          {s?.flagPolicy && <Badge>naming policy</Badge>}
          {s?.fileSources.map((f) => (
            <Badge key={f.name} title={f.location}>
              files: {f.name}
            </Badge>
          ))}
          {s?.promotion?.from && (
            <Badge>
              from {s.promotion.from}
              {s.promotion.required && ", only"}
            </Badge>
          )}
          {next && <Badge tone="outline">freezes {zoned(next)}</Badge>}
        </div>
      </td>
      <td className="right num soft small">{e.cursor?.revision.toString()}</td>
      <td className="right">
        <Link className="button small" href={`/${e.name}/environments/settings`}>
          <Settings2 size={14} aria-hidden /> Settings<span className="visually-hidden"> of {e.name}</span>
        </Link>
      </td>
    </tr>
  );
}
