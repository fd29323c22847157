import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Link } from "wouter";
import { changeRequests } from "../api/transport";
import type { ProposeChangeRequestRequestSchema } from "../gen/tidegate/control/v1/change_request_service_pb";
import { plural } from "../lib/numbers";
import { zone } from "../lib/time";
import { Field, Input, Note } from "./basics";

// What a change request would write: as the request has it, without where, why and when.
export type Proposal = Pick<
  MessageInitShape<typeof ProposeChangeRequestRequestSchema>,
  "flags" | "segments" | "deletes" | "rollout"
>;

// Reads what a field of local time has; undefined: it is empty.
export function readLocal(text: string): Date | undefined {
  return text === "" ? undefined : new Date(text);
}

// A time as a field of local time wants it.
export function localText(at: Date): string {
  const local = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

export async function propose(o: {
  environment: string;
  proposal: Proposal;
  applyAt: Date | undefined;
  reason: string;
  requestId: string;
}): Promise<bigint> {
  const { changeRequest } = await changeRequests.proposeChangeRequest({
    environment: o.environment,
    ...o.proposal,
    applyAt: o.applyAt && timestampFromDate(o.applyAt),
    reason: o.reason,
    requestId: o.requestId,
  });
  return changeRequest?.number ?? 0n;
}

// When a proposed change is written, and what has to happen before.
export function ProposalFields({
  environment,
  approvals,
  explanation,
  when,
  setWhen,
}: {
  environment: string;
  approvals: number;
  explanation?: string;
  when: string;
  setWhen: (text: string) => void;
}) {
  const at = zone(readLocal(when) ?? new Date());
  const past = when !== "" && new Date(when) <= new Date();
  return (
    <>
      <Note>
        <span>
          {approvals > 0
            ? `In ${environment}, ${plural(approvals, "other person", "other people")} must approve a change before it is written.`
            : `Nothing is written yet: it becomes a change request in ${environment}.`}
        </span>
        {explanation && <span className="soft">{explanation}</span>}
      </Note>
      <Field
        label="Write it at (optional)"
        problem={past ? "That has passed already." : undefined}
        hint={
          approvals > 0
            ? `By your clock (${at}), if it is approved by that time. Empty: when somebody applies it.`
            : `By your clock (${at}). Empty: when somebody applies it.`
        }
      >
        {(ids) => <Input {...ids} type="datetime-local" value={when} onChange={(e) => setWhen(e.target.value)} />}
      </Field>
    </>
  );
}

export function ProposedLink({ environment, number }: { environment: string; number: bigint }) {
  return (
    <span>
      Proposed as <Link href={`/${environment}/requests/${number}`}>change request #{number.toString()}</Link>
    </span>
  );
}
