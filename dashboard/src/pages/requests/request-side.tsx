import { useQuery } from "@tanstack/react-query";
import { Check, Circle, X } from "lucide-react";
import { changeRequests } from "../../api/transport";
import { Ago, Card } from "../../components/basics";
import { type ChangeRequest, ChangeRequest_State as State } from "../../gen/tidegate/control/v1/change_request_pb";
import type { GetChangeRequestResponse } from "../../gen/tidegate/control/v1/change_request_service_pb";
import { actionName } from "../../lib/entry-words";
import { dateOf } from "../../lib/time";
import { lacks, when, whyNot } from "./words";

// Who has approved it, when it is written, and what happened to it.
export function RequestSide({
  environment,
  request: r,
  answer,
}: {
  environment: string;
  request: ChangeRequest;
  answer: GetChangeRequestResponse;
}) {
  const missing = r.state === State.OPEN ? lacks(answer) : 0;
  return (
    <div className="stack">
      <Card title="Approvals">
        <ul className="approvals">
          {r.approvals.map((a) => {
            const problem = whyNot(a, answer.uncountedApprovals);
            return (
              <li key={a.by?.identityId || a.by?.name}>
                {problem ? (
                  <X size={15} className="void" aria-hidden />
                ) : (
                  <Check size={15} className="done" aria-hidden />
                )}
                <div>
                  <strong>{a.by?.name}</strong>{" "}
                  <span className="soft small">
                    <Ago at={dateOf(a.time)} />
                  </span>
                  {a.comment && <p className="small">“{a.comment}”</p>}
                  {problem && (
                    <p className="small">
                      Does not count: {a.by?.name} {problem}.
                    </p>
                  )}
                </div>
              </li>
            );
          })}
          {Array.from({ length: missing }, (_, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
            <li key={i} className="soft">
              <Circle size={15} className="open" aria-hidden /> Somebody else than {r.proposer?.name} must approve it.
            </li>
          ))}
          {r.approvals.length === 0 && missing === 0 && <li className="soft">None is needed.</li>}
        </ul>
      </Card>
      <Card title="When">
        <p>{when(r, new Date())}</p>
      </Card>
      <Card title="History">
        <History environment={environment} request={r} />
      </Card>
    </div>
  );
}

function History({ environment, request: r }: { environment: string; request: ChangeRequest }) {
  const query = useQuery({
    queryKey: ["request-history", environment, r.number.toString(), r.state, r.approvals.length],
    queryFn: () => changeRequests.listChangeRequestHistory({ environment, number: r.number, pageSize: 100 }),
  });
  return (
    <ol className="stack tight small">
      {query.data?.entries.map((e) => (
        <li key={e.sequence.toString()}>
          {e.actor || "somebody unnamed"} {actionName(e.action)} it, <Ago at={dateOf(e.time)} />
          {e.reason && e.reason !== r.reason && <span className="soft">: {e.reason}</span>}
        </li>
      ))}
    </ol>
  );
}
