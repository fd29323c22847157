import { type ReactNode, useEffect, useRef, useState } from "react";
import { problemOf } from "../api/errors";
import { useSettings } from "../api/use-environment";
import { useFreeze } from "../api/use-freeze";
import type { Frozen } from "../gen/tidegate/rollout/v1/decision_pb";
import { byAnybody, byNothing, frozenWords, stillWorks } from "../lib/freeze-words";
import { Button, Field, Note, TextArea } from "./basics";
import { Dialog } from "./dialog";
import { ProblemNote } from "./problem";
import { type Proposal, ProposalFields, ProposedLink, propose, readLocal } from "./proposal";
import { Receipt } from "./receipt";
import { useToast } from "./toast";
import { TypedName } from "./typed-name";

// Whether it is still there, whatever was waited for.
function useOpen() {
  const open = useRef(true);
  useEffect(() => {
    open.current = true;
    return () => {
      open.current = false;
    };
  }, []);
  return open;
}

// Of a write whose dialog was closed before it was answered.
function FailedUnseen({ title, failure }: { title: string; failure: unknown }) {
  const problem = problemOf(failure);
  return (
    <div className="stack tight">
      <strong>
        {problem.unknown || problem.unreachable ? "The server did not confirm it" : "It was not done"}: {title}
      </strong>
      <span>{problem.message}</span>
    </div>
  );
}

// What every write passes: what it will do, why, in a protected environment its name typed, and
// what became of it. It keeps what was entered until the server has taken it. Where others have
// to approve, it is proposed instead.
export function ChangeDialog({
  title,
  environment,
  label,
  danger,
  wide,
  unconfirmed,
  unprotected,
  unseen,
  refusedBy = unconfirmed || unprotected ? byNothing : byAnybody,
  reason: suggested = "",
  done,
  run,
  proposal,
  onProposed,
  onClose,
  onDone,
  children,
}: {
  title: string;
  environment: string;
  // Of the button.
  label: string;
  danger?: boolean;
  wide?: boolean;
  // It is not to be slowed down: a kill switch.
  unconfirmed?: boolean;
  // It is of no environment: of people, and of all of them.
  unprotected?: boolean;
  // What it would do is not shown, or not yet: nobody can mean it.
  unseen?: boolean;
  // Which freezes refuse it: as a rule all, but of what makes the environment safer or is not of it.
  refusedBy?: (frozen: Frozen) => boolean;
  reason?: string;
  // What is said once it is done.
  done: string;
  // Writes. One request id is used however often it is tried, so that it happens once.
  run: (reason: string, requestId: string) => Promise<{ revision?: bigint }>;
  // The same as a change request would have it. Unset: it cannot be proposed.
  proposal?: () => Proposal | Promise<Proposal>;
  // Instead of onDone.
  onProposed?: () => void;
  onClose: () => void;
  onDone?: () => void;
  children?: ReactNode;
}) {
  const settings = useSettings(environment);
  const [reason, setReason] = useState(suggested);
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const [requestId, setRequestId] = useState(() => crypto.randomUUID());
  const [later, setLater] = useState(false);
  const [when, setWhen] = useState("");
  const say = useToast();
  const why = useRef<HTMLTextAreaElement>(null);
  const open = useOpen();
  // Who is in a hurry begins with the reason.
  useEffect(() => {
    if (unconfirmed) why.current?.focus();
  }, [unconfirmed]);
  const policy = settings.data?.settings?.approval;
  const needed = proposal ? (policy?.approvals ?? 0) : 0;
  const proposing = !!proposal && (needed > 0 || later);
  const frozen = useFreeze(environment)?.frozen ?? [];
  const refusal = proposing ? undefined : frozen.find(refusedBy);
  // Unless it is known that it is not protected.
  const confirm =
    !unconfirmed && !unprotected && !proposing && (settings.data === undefined || !!settings.data.settings?.protected);
  const late = proposing && when !== "" && new Date(when) <= new Date();
  const ready = reason.trim() !== "" && (!confirm || typed === environment) && !busy && !late && !unseen && !refusal;
  // Another request is another id.
  const renew = () => setRequestId(crypto.randomUUID());

  async function write() {
    const { revision } = await run(reason.trim(), requestId);
    say(
      "good",
      <div className="stack tight">
        <span>{done}</span>
        {revision ? <Receipt environment={environment} revision={revision} /> : null}
      </div>,
    );
    onDone?.();
  }

  async function suggest(content: Proposal) {
    const number = await propose({
      environment,
      proposal: content,
      applyAt: readLocal(when),
      reason: reason.trim(),
      requestId,
    });
    say("good", <ProposedLink environment={environment} number={number} />);
    onProposed?.();
  }

  async function submit() {
    if (!ready) return;
    setBusy(true);
    setFailure(undefined);
    try {
      if (proposing) await suggest(await proposal());
      else await write();
      if (open.current) onClose();
    } catch (failed) {
      if (open.current) setFailure(failed);
      else say("bad", <FailedUnseen title={title} failure={failed} />);
    } finally {
      setBusy(false);
    }
  }

  return (
    <Dialog
      title={title}
      wide={wide}
      onClose={onClose}
      onSubmit={() => void submit()}
      footer={
        <>
          {proposal && needed === 0 && (
            <Button
              kind="quiet"
              className="first"
              onClick={() => {
                setLater(!later);
                renew();
              }}
            >
              {later ? "Write it now instead" : "Propose or schedule it…"}
            </Button>
          )}
          <Button onClick={onClose}>Cancel</Button>
          <Button
            type="submit"
            kind={danger && !proposing ? "danger" : "primary"}
            disabled={!ready}
            title={refusal && frozenWords(refusal)}
          >
            {busy ? "Writing…" : proposing ? (when ? "Propose and schedule" : "Propose") : label}
          </Button>
        </>
      }
    >
      {refusal && (
        <Note tone="warn">
          <strong>{frozenWords(refusal)}. This is refused until that is over.</strong>
          <span>{stillWorks(frozen)}</span>
        </Note>
      )}
      {children}
      <Field label="Why" hint="It becomes part of the audit trail.">
        {(ids) => (
          <TextArea
            {...ids}
            ref={why}
            rows={2}
            required
            autoFocus
            value={reason}
            onChange={(e) => {
              setReason(e.target.value);
              renew();
            }}
            onKeyDown={(e) => {
              if (e.key === "Enter" && (e.metaKey || e.ctrlKey)) {
                e.preventDefault();
                void submit();
              }
            }}
          />
        )}
      </Field>
      {proposing && (
        <ProposalFields
          environment={environment}
          approvals={needed}
          explanation={policy?.explanation}
          when={when}
          setWhen={(text) => {
            setWhen(text);
            renew();
          }}
        />
      )}
      {confirm && <TypedName environment={environment} typed={typed} setTyped={setTyped} />}
      {failure !== undefined && <ProblemNote failure={failure} />}
    </Dialog>
  );
}
