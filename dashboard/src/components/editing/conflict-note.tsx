import "./editing.css";
import type { DescMessage } from "@bufbuild/protobuf";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { AuditEntry } from "../../gen/tidegate/control/v1/audit_pb";
import { subjectOfMessage } from "../../lib/changes/say";
import { type Kind, onTopOf } from "../../lib/draft";
import { reasonWords } from "../../lib/figures";
import type { Overlap, Side } from "../../lib/merge";
import { plural } from "../../lib/numbers";
import { dateOf } from "../../lib/time";
import { Ago, Button, Note } from "../basics";
import { Changes } from "../changes";
import type { DraftState, Version } from "../draft";
import { differences } from "./differences";

// Somebody else saved something while it is edited here: who, why, what, and what to do now.
// Nothing of either is lost whatever one chooses.
export function ConflictNote<S extends DescMessage>({
  kind,
  what,
  environment,
  state,
  latest,
  newest,
}: {
  kind: Kind<S>;
  // "flag", and the like.
  what: string;
  environment: string;
  state: DraftState<S>;
  latest: Version<S>;
  // Its newest changes.
  newest: () => Promise<{ entries: AuditEntry[] }>;
}) {
  const { draft } = state;
  const [choices, setChoices] = useState<ReadonlyMap<string, Side>>(new Map());
  const [comparing, setComparing] = useState(false);
  const { overlaps } = useMemo(
    () => onTopOf(kind, draft, latest.message, latest.revision),
    [kind, draft, latest.message, latest.revision],
  );
  const history = useQuery({
    queryKey: ["since", environment, what, latest.revision.toString()],
    queryFn: newest,
  });
  const since = history.data?.entries.filter((e) => e.revision > draft.revision) ?? [];
  // What replaces everything cannot be joined with anything.
  const unread = draft.texts.raw !== undefined;
  const undecided = overlaps.filter((o) => !choices.has(o.path)).length;

  return (
    <section className="conflict" aria-label={`Somebody else changed this ${what}`}>
      <Note tone="warn">
        <strong role="alert">
          {since[0]?.actor || "Somebody else"} saved this {what} while you were editing it
        </strong>
        {since.map((e) => (
          <span key={e.revision.toString()}>
            {e.actor}, <Ago at={dateOf(e.time)} />: “{reasonWords(e)}”
          </span>
        ))}
        <span>
          {overlaps.length === 0
            ? "You changed other things than they did: both can be kept."
            : `You both changed ${plural(overlaps.length, "field")}. Choose which to keep; all else of both is kept.`}
        </span>
        {overlaps.map((o) => (
          <OneOverlap
            key={o.path}
            overlap={o}
            side={choices.get(o.path)}
            choose={(side) => setChoices(new Map(choices).set(o.path, side))}
          />
        ))}
        <div className="row">
          <Button
            kind="primary"
            small
            disabled={undecided > 0 || unread}
            title={
              unread
                ? "The raw text cannot be read yet: mend it first"
                : undecided > 0
                  ? "Choose for each field first"
                  : undefined
            }
            onClick={() => state.rebase(choices)}
          >
            {overlaps.length === 0 ? "Keep mine on top of theirs" : "Join them so"}
          </Button>
          <Button small aria-expanded={comparing} onClick={() => setComparing(!comparing)}>
            Compare
          </Button>
          <Button small onClick={state.discard}>
            Take theirs, discard mine
          </Button>
        </div>
        {comparing && (
          <div className="columns">
            <div className="stack tight">
              <h3>They changed</h3>
              <Changes
                changes={differences(kind, draft.base, latest.message)}
                subject={subjectOfMessage(latest.message)}
              />
            </div>
            <div className="stack tight">
              <h3>You changed</h3>
              <Changes changes={differences(kind, draft.base, draft.mine)} subject={subjectOfMessage(draft.mine)} />
            </div>
          </div>
        )}
      </Note>
    </section>
  );
}

function OneOverlap({
  overlap,
  side,
  choose,
}: {
  overlap: Overlap;
  side: Side | undefined;
  choose: (side: Side) => void;
}) {
  const text = (v: Overlap["mine"]) => (v === undefined ? "not there" : JSON.stringify(v));
  return (
    <fieldset className="overlap">
      <legend>
        <code>{overlap.path}</code> <span className="soft">was {text(overlap.base)}</span>
      </legend>
      {(["mine", "theirs"] as const).map((s) => (
        <label key={s} className="check">
          <input type="radio" name={`overlap-${overlap.path}`} checked={side === s} onChange={() => choose(s)} />
          <span>
            {s === "mine" ? "Mine: " : "Theirs: "}
            <code>{text(overlap[s])}</code>
          </span>
        </label>
      ))}
    </fieldset>
  );
}
