import "./requests.css";
import { useInfiniteQuery } from "@tanstack/react-query";
import { ClipboardCheck } from "lucide-react";
import { Link, useSearch } from "wouter";
import { instead } from "../../api/errors";
import { changeRequests } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { Ago, Badge, Button, Empty, Loading } from "../../components/basics";
import { PageHead } from "../../components/page";
import { ProblemNote } from "../../components/problem";
import { type ChangeRequest, ChangeRequest_State as State } from "../../gen/tidegate/control/v1/change_request_pb";
import { dateOf, exactly, zoned } from "../../lib/time";
import { given, names, stateTones, stateWords } from "./words";

const states: [name: string, label: string, state: State][] = [
  ["", "Open", State.OPEN],
  ["applied", "Applied", State.APPLIED],
  ["rejected", "Rejected", State.REJECTED],
  ["withdrawn", "Withdrawn", State.WITHDRAWN],
  ["failed", "Failed", State.FAILED],
  ["all", "All", State.UNSPECIFIED],
];

// Changes that somebody proposes, and others approve, before they are written.
export default function Requests() {
  const environment = useEnvironment();
  const which = new URLSearchParams(useSearch()).get("state") ?? "";
  const state = states.find(([name]) => name === which)?.[2] ?? State.OPEN;
  const query = useInfiniteQuery({
    queryKey: ["requests", environment, state],
    queryFn: ({ pageParam }) =>
      changeRequests.listChangeRequests({ environment, state, pageSize: 50, pageToken: pageParam }),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken || undefined,
    refetchInterval: 5_000,
  });
  const found = query.data?.pages.flatMap((p) => p.changeRequests) ?? [];
  const failure = instead(query);
  const required = query.data?.pages[0]?.approvalsRequired ?? 0;
  return (
    <div className="page">
      <PageHead title="Change requests" tab={`Change requests · ${environment}`}>
        {query.data ? policyWords(environment, required) : "Loading…"}
      </PageHead>
      <nav className="tabs" aria-label="States">
        {states.map(([name, label]) => (
          <Link
            key={name}
            href={`/${environment}/requests${name ? `?state=${name}` : ""}`}
            aria-current={name === which ? "page" : undefined}
          >
            {label}
          </Link>
        ))}
      </nav>
      {failure ? (
        <ProblemNote failure={failure} again={() => void query.refetch()} />
      ) : (
        <section className="card" aria-label="Change requests">
          {!query.data ? (
            <div className="body">
              <Loading rows={5} label="Loading the change requests" />
            </div>
          ) : found.length === 0 ? (
            <Empty icon={ClipboardCheck} title={state === State.OPEN ? "Nothing waits for anybody" : "There are none"}>
              <p>
                Change a flag, and choose “Propose” where you would save: others see what would change, and approve it.
              </p>
            </Empty>
          ) : (
            <ul className="requests">
              {found.map((r) => (
                <Row key={r.number.toString()} request={r} environment={environment} required={required} />
              ))}
            </ul>
          )}
        </section>
      )}
      {query.isFetchNextPageError && <ProblemNote failure={query.error} />}
      {query.hasNextPage && (
        <div>
          <Button disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            Show older ones
          </Button>
        </div>
      )}
    </div>
  );
}

function policyWords(environment: string, required: number): string {
  if (required === 0) return `In ${environment} changes need nobody's approval; they can be proposed all the same.`;
  return required === 1
    ? `In ${environment} another person must approve a change before it is written.`
    : `In ${environment} ${required} other people must approve a change before it is written.`;
}

function Row({ request: r, environment, required }: { request: ChangeRequest; environment: string; required: number }) {
  const applyAt = dateOf(r.applyAt);
  return (
    <li>
      <span className="number num soft">#{r.number.toString()}</span>
      <div className="what">
        <Link className="name" href={`/${environment}/requests/${r.number}`}>
          {r.reason}
        </Link>
        <div className="small soft">
          {names(r)} · {r.proposer?.name}, <Ago at={dateOf(r.proposedAt)} />
        </div>
      </div>
      <div className="row tight">
        {r.state === State.OPEN && applyAt && <Badge title={exactly(applyAt)}>at {zoned(applyAt)}</Badge>}
        {r.state === State.OPEN ? (
          <Badge tone={r.approvals.length >= required ? "good" : "warn"}>{given(r, required)}</Badge>
        ) : (
          <Badge tone={stateTones[r.state]}>{stateWords[r.state]}</Badge>
        )}
      </div>
    </li>
  );
}
