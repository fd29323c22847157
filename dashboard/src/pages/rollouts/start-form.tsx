import "../../styles/editor.css";
import "./rollouts.css";
import "./start.css";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { rollouts } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { useRefusal } from "../../api/use-write";
import { Button, Card, Note } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { Changes } from "../../components/changes";
import { LeaveDialog } from "../../components/leave-dialog";
import { PageHead } from "../../components/page";
import { type Rollout, Strategy } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { withoutAsking } from "../../lib/address";
import { strategyMeaning, strategyWords } from "../../lib/rollout-words";
import { problemAt, type Start } from "../../lib/start";
import { startWords } from "../../lib/start-words";
import { Advanced } from "./advanced-fields";
import { GuardrailsEditor } from "./guardrail-editor";
import { StagesEditor } from "./stages-editor";
import { More, SuccessFields, What } from "./start-fields";
import { useStartCheck } from "./use-start-check";
import { useStartDraft } from "./use-start-draft";

const strategies = [Strategy.CANARY, Strategy.BLUE_GREEN, Strategy.EXPERIMENT, Strategy.FIXED];

// Starts a rollout: what is moved, how fast, and what must not get worse.
export function StartForm({ first, where }: { first: Start; where: string }) {
  const environment = useEnvironment();
  const [location, navigate] = useLocation();
  const { start, dirty, set, discard } = useStartDraft(where, first);
  const [starting, setStarting] = useState(false);
  const check = useStartCheck(environment, start);
  const traffic = useTraffic(start.flag);
  const no = useRefusal(environment)(...[start.key, start.flag].filter(Boolean));
  const { rollout } = check;
  const experiment = start.strategy === Strategy.EXPERIMENT;
  const noun = experiment ? "experiment" : "rollout";
  const list = `${noun}s`;
  const leave = (to: string) => {
    discard();
    withoutAsking(() => navigate(to));
  };

  return (
    <div className="page">
      <PageHead
        title={`Start ${experiment ? "an experiment" : "a rollout"}`}
        tab={`Start a ${noun} · ${environment}`}
        above={
          <div className="small">
            <Link href={`/${environment}/${list}`}>{experiment ? "Experiments" : "Rollouts"}</Link>
          </div>
        }
      >
        In {environment}. It widens one variant, watches what must not get worse, and shuts itself where it does.
      </PageHead>
      <form
        className="stack narrow"
        onSubmit={(e) => {
          e.preventDefault();
          if (check.ready && !no) setStarting(true);
        }}
      >
        <Card title="What is served, and to whom?">
          <What start={start} set={set} problems={check.problems} />
        </Card>
        <Card title="How fast?">
          <div className="stack">
            <fieldset className="presets">
              <legend className="visually-hidden">Strategy</legend>
              {strategies.map((s) => (
                <label key={s}>
                  <span className="row tight">
                    <input
                      type="radio"
                      name="strategy"
                      checked={start.strategy === s}
                      onChange={() => set({ strategy: s, stages: [] })}
                    />
                    <strong>{strategyWords[s]}</strong>
                  </span>
                  <span className="small soft">{strategyMeaning[s]}</span>
                </label>
              ))}
            </fieldset>
            <StagesEditor
              stages={start.stages}
              checked={rollout}
              traffic={traffic}
              problems={check.problems}
              onChange={(stages) => set({ stages })}
            />
            {problemAt(check.problems, "stages") && (
              <span className="problem small">{problemAt(check.problems, "stages")}</span>
            )}
          </div>
        </Card>
        <Card title="What must not get worse?">
          <GuardrailsEditor
            lines={start.guardrails}
            problems={check.problems}
            onChange={(guardrails) => set({ guardrails })}
          />
        </Card>
        <Card title={experiment ? "What shall get better?" : "What shall get better? (may stay empty)"}>
          <SuccessFields start={start} set={set} problems={check.problems} />
        </Card>
        <Advanced start={start} set={set} problems={check.problems} checked={rollout} />
        <More start={start} set={set} problems={check.problems} />
        <Card title="What will happen">
          <div className="stack">
            {rollout && check.ready ? (
              <>
                <Plan rollout={rollout} />
                <h3 className="small">In the flag</h3>
                <Changes changes={check.changes} subject={{ kind: "flag" }} />
              </>
            ) : check.problem ? (
              <Note tone="bad">
                <span>{check.problem.message}</span>
              </Note>
            ) : (
              <p className="small soft">
                {check.problems.size > 0
                  ? "Something above cannot be used yet."
                  : start.flag && start.treatment && start.key
                    ? "The server checks it…"
                    : "Choose a flag and a variant, and give it a key."}
              </p>
            )}
          </div>
        </Card>
        <div className="row">
          <Button type="submit" kind="primary" disabled={!check.ready || no !== undefined} title={no}>
            Start…
          </Button>
          <Link className="button" href={`/${environment}/${list}`}>
            Cancel
          </Link>
          {no && <span className="small soft">{no}.</span>}
        </div>
      </form>
      {starting && (
        <ChangeDialog
          title={`Start ${start.key} in ${environment}`}
          environment={environment}
          label="Start"
          wide
          done={`${start.key} has started`}
          run={async (reason, requestId) => {
            const made = await rollouts.startRollout({ environment, rollout: check.request, reason, requestId });
            return { revision: made.rollout?.revision };
          }}
          proposal={() => ({ rollout: check.request })}
          onClose={() => setStarting(false)}
          onDone={() => leave(`/${environment}/${list}/${start.key}`)}
          onProposed={() => leave(`/${environment}/${list}`)}
        >
          {rollout && <Plan rollout={rollout} />}
          <Changes changes={check.changes} subject={{ kind: "flag" }} />
        </ChangeDialog>
      )}
      {dirty && <LeaveDialog what={`The ${noun} that is not started yet`} stay={location} discard={discard} />}
    </div>
  );
}

function Plan({ rollout }: { rollout: Rollout }) {
  const rules = useLive((l) => l.flags.get(rollout.flagKey)?.rules);
  return (
    <ul className="plan">
      {startWords(rollout, rules).map((sentence) => (
        <li key={sentence}>{sentence}</li>
      ))}
    </ul>
  );
}

// Evaluations a second of a flag, over the newest ten minutes that are whole.
function useTraffic(flag: string): number | undefined {
  const activity = useLive((l) => l.activities.get(flag));
  const spans = activity?.evaluations.map((e) => Number(e.counts.at(-2) ?? 0n)) ?? [];
  const sum = spans.reduce((a, b) => a + b, 0);
  return sum > 0 ? sum / 600 : undefined;
}
