import { Check, CircleDot, EyeOff, X } from "lucide-react";
import type { ReactNode } from "react";
import { Ruler } from "../../components/ruler";
import { Words } from "../../components/words";
import {
  type ClauseExplanation,
  FlagExplanation_Decided as Decided,
  type ExpressionExplanation,
  type FlagExplanation,
  SegmentExplanation_Membership as Membership,
  type PrerequisiteExplanation,
  type RuleExplanation,
  type SegmentExplanation,
} from "../../gen/tidegate/control/v1/explanation_pb";
import { clausesWords } from "../../lib/explain-flag";
import { prerequisiteStepWords } from "../../lib/explain-steps";
import { valueText } from "../../lib/values";

// What was looked at, in its order, up to what decided.
export function FlagSteps({ explanation: e }: { explanation: FlagExplanation | undefined }) {
  if (!e) return null;
  const all: ReactNode[] = [];
  switch (e.decided) {
    case Decided.NOT_FOUND:
      all.push(
        <Step key="none" state="decided">
          There is no such flag.
        </Step>,
      );
      break;
    case Decided.HIDDEN:
      all.push(
        <Step key="hidden" state="hidden">
          <span>
            You may not read <code>{e.flagKey}</code>: what it serves is told, and nothing else.
          </span>
        </Step>,
      );
      break;
    case Decided.DISABLED:
      all.push(
        <Step key="off" state="decided">
          <span>The flag is off: it serves {served(e)}.</span>
        </Step>,
      );
      break;
    default:
      all.push(
        <Step key="on" state="yes">
          The flag is on.
        </Step>,
      );
  }
  all.push(...e.prerequisites.map((p) => <PrerequisiteStep key={`p ${p.flagKey}`} step={p} flag={e} />));
  all.push(
    ...e.rules.map((r, i) => (
      <RuleStep key={`r ${r.id}`} step={r} decided={e.decided === Decided.RULE && i === e.rules.length - 1} />
    )),
  );
  if (e.decided === Decided.DEFAULT)
    all.push(
      <Step key="default" state="decided">
        <span>
          {byDefault(e)} {served(e)}.
        </span>
        {e.split && <Ruler split={e.split} />}
      </Step>,
    );
  return <ol className="steps">{all}</ol>;
}

// A split gives one of many what it gives.
function byDefault(e: FlagExplanation): string {
  if (e.rules.length === 0) return e.split ? "The split gives" : "Everyone gets";
  return e.split ? "No rule matched: the split of everyone else gives" : "No rule matched: everyone else gets";
}

function served(e: { served: string }): ReactNode {
  return e.served ? <code className="name">{e.served}</code> : "the caller’s own default";
}

const icons = { yes: Check, no: X, decided: CircleDot, hidden: EyeOff };
const says = { yes: "holds", no: "does not hold", decided: "this decided", hidden: "hidden" };

function Step({ state, children }: { state: keyof typeof icons; children: ReactNode }) {
  const Icon = icons[state];
  return (
    <li className={`step ${state}`}>
      <span className="mark" title={says[state]}>
        <Icon size={14} aria-hidden />
        <span className="visually-hidden">{says[state]}: </span>
      </span>
      <div className="stack tight">{children}</div>
    </li>
  );
}

function PrerequisiteStep({ step: p, flag }: { step: PrerequisiteExplanation; flag: FlagExplanation }) {
  const decided = !p.held && flag.decided === Decided.PREREQUISITE;
  return (
    <Step state={p.held ? "yes" : decided ? "decided" : "no"}>
      <span>
        <Words words={prerequisiteStepWords(p)} />
        {decided && <> So this flag serves {served(flag)}.</>}
      </span>
      {p.flag && (
        <details className="more">
          <summary>Why {p.flagKey} serves that</summary>
          <FlagSteps explanation={p.flag} />
        </details>
      )}
    </Step>
  );
}

function RuleStep({ step: r, decided }: { step: RuleExplanation; decided: boolean }) {
  return (
    <Step state={decided ? "decided" : r.matched ? "yes" : "no"}>
      <span>
        The rule <strong>{r.id}</strong> {r.matched ? "matches." : "does not match."}
        {r.description && <span className="soft"> {r.description}</span>}
      </span>
      {r.clauses.length > 0 && (
        <ul className="clauses">
          {r.clauses.map((c, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: clauses have no name
            <ClauseStep key={i} step={c} />
          ))}
        </ul>
      )}
      {r.expression && <ExpressionStep step={r.expression} />}
      {r.split && <Ruler split={r.split} />}
      {r.outcome && <ExpressionStep step={r.outcome} />}
    </Step>
  );
}

function ClauseStep({ step: c }: { step: ClauseExplanation }) {
  const Icon = c.matched ? Check : X;
  return (
    <li className={c.matched ? "yes" : "no"}>
      <Icon size={13} aria-label={c.matched ? "holds" : "does not hold"} />
      <span>
        {c.clause && <Words words={clausesWords([c.clause])} />}
        {c.segments.length === 0 && (
          <span className="soft">
            {" — "}
            {c.value ? (
              <>
                it is <code>{valueText(c.value)}</code>
              </>
            ) : (
              "the context does not have it"
            )}
          </span>
        )}
        {c.segments.map((s) => (
          <SegmentStep key={s.segmentKey} step={s} />
        ))}
      </span>
    </li>
  );
}

const memberships: Record<Membership, string> = {
  [Membership.UNSPECIFIED]: "",
  [Membership.NOT_FOUND]: "there is no such segment",
  [Membership.INCLUDED]: "it is in its list",
  [Membership.EXCLUDED]: "it is in its list of those left out",
  [Membership.RULE]: "one of its rules matches",
  [Membership.NONE]: "neither its list nor a rule has it",
  [Membership.HIDDEN]: "you may not read it",
};

function SegmentStep({ step: s }: { step: SegmentExplanation }) {
  return (
    <span className="soft block">
      <code className="name">{s.segmentKey}</code>: {memberships[s.membership]}
      {s.key && (
        <>
          {" "}
          (<code>{s.keyAttribute || "targetingKey"}</code> is <code>{valueText(s.key)}</code>)
        </>
      )}
    </span>
  );
}

function ExpressionStep({ step: e }: { step: ExpressionExplanation }) {
  return (
    <div className="expression small">
      <code>{valueText(e.expression)}</code>
      {Object.entries(e.attributes).map(([name, value]) => (
        <span key={name} className="block soft">
          <code>{name}</code> is <code>{valueText(value)}</code>
        </span>
      ))}
      <span className="block">
        {e.failure ? (
          <span className="problem">It failed: {e.failure}</span>
        ) : (
          <>
            gives <code>{valueText(e.result)}</code>
          </>
        )}
      </span>
    </div>
  );
}
