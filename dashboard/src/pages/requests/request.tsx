import "./requests.css";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "wouter";
import { useSession } from "../../api/session";
import { changeRequests } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { useRefusal } from "../../api/use-write";
import { Ago, Badge, Button, Card, Loading, Note } from "../../components/basics";
import { Changes, subjectOf } from "../../components/changes";
import { PageHead } from "../../components/page";
import { ProblemNote } from "../../components/problem";
import { Action, type Conflict, ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import { type ChangeRequest, ChangeRequest_State as State } from "../../gen/tidegate/control/v1/change_request_pb";
import type { GetChangeRequestResponse } from "../../gen/tidegate/control/v1/change_request_service_pb";
import type { ApplyResult } from "../../gen/tidegate/control/v1/flag_service_pb";
import type { Flag, Segment } from "../../gen/tidegate/flag/v1/flag_pb";
import type { Subject } from "../../lib/changes/say";
import { kindName } from "../../lib/entry-words";
import { reasonWords } from "../../lib/figures";
import { dateOf, zoned } from "../../lib/time";
import { type Deed, DeedDialog } from "./deed-dialog";
import { RequestSide } from "./request-side";
import { hasApproved, isEarly, isProposer, lacks, names, stateTones, stateWords } from "./words";

export default function Request() {
  const environment = useEnvironment();
  const number = useParams<{ number: string }>().number;
  // What changes in the environment may be what it waits for, or is in its way.
  const revision = useLive((l) => l.entries[0]?.revision ?? 0n);
  const queries = useQueryClient();
  const key = ["request", environment, number];
  const query = useQuery({
    queryKey: [...key, revision.toString()],
    queryFn: () =>
      changeRequests.getChangeRequest({ environment, number: /^\d{1,18}$/.test(number) ? BigInt(number) : 0n }),
    placeholderData: (before) =>
      before?.changeRequest?.number.toString() === number && before.changeRequest.environment === environment
        ? before
        : undefined,
    refetchInterval: 5_000,
  });
  if (query.error && !query.data)
    return (
      <div className="page">
        <PageHead title={`Change request #${number}`} tab={`#${number} · ${environment}`} above={<Above />} />
        <ProblemNote failure={query.error} again={() => void query.refetch()} />
      </div>
    );
  if (!query.data?.changeRequest)
    return (
      <div className="page">
        <Loading rows={8} label="Loading the change request" />
      </div>
    );
  return (
    <Shown
      environment={environment}
      answer={query.data}
      again={() => {
        void queries.invalidateQueries({ queryKey: key });
        void queries.invalidateQueries({ queryKey: ["requests", environment] });
      }}
    />
  );
}

function Above() {
  const environment = useEnvironment();
  return (
    <div className="small">
      <Link href={`/${environment}/requests`}>Change requests</Link>
    </div>
  );
}

function Shown({
  environment,
  answer,
  again,
}: {
  environment: string;
  answer: GetChangeRequestResponse;
  again: () => void;
}) {
  const [deed, setDeed] = useState<Deed>();
  const r = answer.changeRequest;
  if (!r) return null;
  return (
    <div className="page">
      <PageHead
        title={r.reason}
        tab={`#${r.number} · ${environment}`}
        above={<Above />}
        beside={<Badge tone={stateTones[r.state]}>{stateWords[r.state]}</Badge>}
        actions={r.state === State.OPEN && <Deeds environment={environment} answer={answer} ask={setDeed} />}
      >
        #{r.number.toString()} by {r.proposer?.name}, <Ago at={dateOf(r.proposedAt)} />: {names(r)}
      </PageHead>
      <Outcome answer={answer} />
      <div className="request-body">
        <div className="stack">
          <h2>What it changes</h2>
          {answer.results.length === 0 && <p className="soft">It changes nothing of what was there.</p>}
          {answer.results.map((one) => (
            <Result
              key={`${one.kind}/${one.key}`}
              environment={environment}
              result={one}
              subject={subjectOf(one.kind, proposed(r, one))}
            />
          ))}
        </div>
        <RequestSide environment={environment} request={r} answer={answer} />
      </div>
      {deed && (
        <DeedDialog
          deed={deed}
          environment={environment}
          request={r}
          onClose={() => setDeed(undefined)}
          onDone={again}
        />
      )}
    </div>
  );
}

function Deeds({
  environment,
  answer,
  ask,
}: {
  environment: string;
  answer: GetChangeRequestResponse;
  ask: (deed: Deed) => void;
}) {
  const session = useSession();
  const refusal = useRefusal(environment);
  const r = answer.changeRequest;
  if (!r) return null;
  const me = { id: session.identity?.id ?? "", name: session.name };
  const mine = isProposer(r, me);
  const approved = hasApproved(r, me);
  const no = refusal(...r.flagKeys, ...r.segmentKeys, ...[r.rolloutKey].filter(Boolean));
  const may = no === undefined;
  const missing = lacks(answer);
  const early = isEarly(r, new Date());
  const blocked = answer.conflicts.length > 0 || answer.obstacle !== "";
  return (
    <>
      {no && <span className="small soft refusal">{no}.</span>}
      {mine ? (
        <Button disabled={!may} title={no} onClick={() => ask("withdraw")}>
          Withdraw…
        </Button>
      ) : (
        <>
          <Button disabled={!may} title={no} onClick={() => ask("reject")}>
            Reject…
          </Button>
          <Button
            kind={missing > 0 ? "primary" : undefined}
            disabled={!may || approved}
            title={approved ? "You have approved it" : no}
            onClick={() => ask("approve")}
          >
            {approved ? "Approved" : "Approve…"}
          </Button>
        </>
      )}
      <Button
        kind={missing <= 0 ? "primary" : undefined}
        disabled={!may || missing > 0 || blocked}
        title={no ?? (missing > 0 ? "Others must approve it first" : blocked ? "Something is in the way" : undefined)}
        onClick={() => ask(early ? "apply-early" : "apply")}
      >
        {early ? "Apply now, before its time…" : "Apply…"}
      </Button>
    </>
  );
}

// What became of it, or what is in its way.
function Outcome({ answer }: { answer: GetChangeRequestResponse }) {
  const r = answer.changeRequest;
  if (!r) return null;
  if (r.state === State.OPEN)
    return (
      <>
        {answer.conflicts.map((c) => (
          <InTheWay key={`${c.kind}/${c.key}`} conflict={c} />
        ))}
        {answer.obstacle && (
          <Note tone="warn">
            <strong>It could not be applied now</strong>
            <span>{answer.obstacle}</span>
          </Note>
        )}
        {answer.cautions.map((caution) => (
          <Note key={caution} tone="warn">
            <strong>Look at this before it is applied</strong>
            <span>{caution}</span>
          </Note>
        ))}
      </>
    );
  const at = dateOf(r.closedAt);
  return (
    <Note tone={r.state === State.APPLIED ? "good" : r.state === State.WITHDRAWN ? "info" : "bad"}>
      <strong>
        {r.state === State.FAILED ? "It was to be written, and could not be" : `It was ${stateWords[r.state]}`}
      </strong>
      <span>
        {r.closedBy?.name}
        {at && <>, {zoned(at)}</>}
        {r.closingReason && `: ${r.closingReason}`}
      </span>
    </Note>
  );
}

function InTheWay({ conflict: c }: { conflict: Conflict }) {
  return (
    <Note tone="warn">
      <strong>
        Somebody changed the {kindName(c.kind)} {c.key} since: propose it anew
      </strong>
      {c.latest && (
        <span>
          {c.latest.actor}, <Ago at={dateOf(c.latest.time)} />: “{reasonWords(c.latest)}”
        </span>
      )}
      {c.changes.length > 0 && <Changes changes={c.changes} subject={subjectOf(c.kind)} />}
    </Note>
  );
}

// The flag or segment as it is to be; undefined: that is not said as a whole.
function proposed(r: ChangeRequest, one: ApplyResult): Flag | Segment | undefined {
  if (r.change.case !== "writes") return undefined;
  const { flags, segments } = r.change.value;
  const all = one.kind === ResourceKind.FLAG ? flags.map((w) => w.flag) : segments.map((w) => w.segment);
  return all.find((m) => m?.key === one.key);
}

const actions: Partial<Record<Action, string>> = {
  [Action.CREATED]: "new",
  [Action.DELETED]: "deleted",
  [Action.UPDATED]: "changed",
};

const paths: Partial<Record<ResourceKind, string>> = {
  [ResourceKind.FLAG]: "flags",
  [ResourceKind.SEGMENT]: "segments",
  [ResourceKind.ROLLOUT]: "rollouts",
};

function Result(props: { environment: string; result: ApplyResult; subject: Subject | undefined }) {
  const { environment, result: one, subject } = props;
  const path = paths[one.kind];
  return (
    <Card
      title={
        <h3>
          <span className="soft">{kindName(one.kind)}</span>{" "}
          {path ? <Link href={`/${environment}/${path}/${encodeURIComponent(one.key)}`}>{one.key}</Link> : one.key}
        </h3>
      }
      actions={
        <Badge tone={one.action === Action.DELETED ? "bad" : one.action === Action.CREATED ? "good" : undefined}>
          {actions[one.action] ?? "as it is"}
        </Badge>
      }
    >
      <Changes
        changes={one.changes}
        subject={subject}
        none={one.action === Action.DELETED ? "It goes as a whole." : "Nothing differs."}
      />
    </Card>
  );
}
