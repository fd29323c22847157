import { useState } from "react";
import { changeRequests } from "../../api/transport";
import { useSettings } from "../../api/use-environment";
import { Button, Field, TextArea } from "../../components/basics";
import { Dialog } from "../../components/dialog";
import { ProblemNote } from "../../components/problem";
import { Receipt } from "../../components/receipt";
import { useToast } from "../../components/toast";
import { TypedName } from "../../components/typed-name";
import type { ChangeRequest } from "../../gen/tidegate/control/v1/change_request_pb";

export type Deed = "approve" | "reject" | "withdraw" | "apply" | "apply-early";

const texts: Record<
  Deed,
  { title: string; label: string; done: string; comment: string; needed: boolean; says: string }
> = {
  approve: {
    title: "Approve",
    label: "Approve",
    done: "is approved by you",
    comment: "Comment (optional)",
    needed: false,
    says: "You have looked at what it changes, and are for it.",
  },
  reject: {
    title: "Reject",
    label: "Reject",
    done: "is rejected",
    comment: "Why",
    needed: true,
    says: "It can no longer be applied. Whoever proposed it can propose another one.",
  },
  withdraw: {
    title: "Withdraw",
    label: "Withdraw",
    done: "is withdrawn",
    comment: "Why",
    needed: true,
    says: "It can no longer be applied.",
  },
  apply: {
    title: "Apply",
    label: "Apply",
    done: "is applied",
    comment: "Comment (optional)",
    needed: false,
    says: "All of it is written at once, with the reason that it was proposed with.",
  },
  "apply-early": {
    title: "Apply before its time",
    label: "Apply now",
    done: "is applied",
    comment: "Comment (optional)",
    needed: false,
    says: "All of it is written now, and not by itself at its time. The history shows that it was applied early.",
  },
};

async function does(deed: Deed, request: { environment: string; number: bigint; reason: string; requestId: string }) {
  switch (deed) {
    case "approve":
      await changeRequests.approveChangeRequest(request);
      return 0n;
    case "reject":
      await changeRequests.rejectChangeRequest(request);
      return 0n;
    case "withdraw":
      await changeRequests.withdrawChangeRequest(request);
      return 0n;
    case "apply":
      return (await changeRequests.applyChangeRequest(request)).revision;
    case "apply-early":
      return (await changeRequests.applyChangeRequest({ ...request, now: true })).revision;
  }
}

// What somebody does with a change request. What applying it changes in a protected environment
// has its name typed, as if it were written directly.
export function DeedDialog({
  deed,
  environment,
  request,
  onClose,
  onDone,
}: {
  deed: Deed;
  environment: string;
  request: ChangeRequest;
  onClose: () => void;
  onDone: () => void;
}) {
  const text = texts[deed];
  const settings = useSettings(environment);
  const applies = deed === "apply" || deed === "apply-early";
  const confirm = applies && (settings.data === undefined || !!settings.data.settings?.protected);
  const [reason, setReason] = useState("");
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const [requestId, setRequestId] = useState(() => crypto.randomUUID());
  const say = useToast();
  const ready = !busy && (!text.needed || reason.trim() !== "") && (!confirm || typed === environment);

  async function submit() {
    if (!ready) return;
    setBusy(true);
    setFailure(undefined);
    try {
      const revision = await does(deed, { environment, number: request.number, reason: reason.trim(), requestId });
      say(
        "good",
        <div className="stack tight">
          <span>
            #{request.number.toString()} {text.done}
          </span>
          {revision > 0n && <Receipt environment={environment} revision={revision} />}
        </div>,
      );
      onDone();
      onClose();
    } catch (failed) {
      setFailure(failed);
    } finally {
      setBusy(false);
    }
  }

  return (
    <Dialog
      title={`${text.title} #${request.number} in ${environment}`}
      onClose={onClose}
      onSubmit={() => void submit()}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind={deed === "reject" ? "danger" : "primary"} disabled={!ready}>
            {busy ? "Writing…" : text.label}
          </Button>
        </>
      }
    >
      <p>
        <strong>{request.reason}</strong>
      </p>
      <p className="soft">{text.says}</p>
      <Field label={text.comment}>
        {(ids) => (
          <TextArea
            {...ids}
            rows={2}
            autoFocus
            value={reason}
            onChange={(e) => {
              setReason(e.target.value);
              setRequestId(crypto.randomUUID()); // another comment is another request
            }}
          />
        )}
      </Field>
      {confirm && <TypedName environment={environment} typed={typed} setTyped={setTyped} />}
      {failure !== undefined && <ProblemNote failure={failure} />}
    </Dialog>
  );
}
