import "./learn.css";
import { Fragment } from "react";
import { useEnvironment } from "../../api/use-environment";
import { PageHead } from "../../components/page";
import { Decider, Gone } from "./decider";
import { FlagDrawing, ReleaseDrawing } from "./drawings";
import { FirstRollout } from "./first-rollout";
import { glossary } from "./glossary";
import { KnightCapital } from "./knight-capital";

const sections = [
  { id: "flag", name: "What a flag is" },
  { id: "release", name: "Deployment and release" },
  { id: "knight", name: "Forty-five minutes in 2012" },
  { id: "first", name: "A first rollout in five steps" },
  { id: "decider", name: "How the decider decides" },
  { id: "gone", name: "When something is down" },
  { id: "words", name: "The words" },
];

// For somebody who has never seen a flag.
export default function Learn() {
  const environment = useEnvironment();
  return (
    <div className="page">
      <PageHead title="Learn" tab="Learn">
        What flags are for, and how this system uses them. Ten minutes to read.
      </PageHead>
      <div className="learn">
        <nav aria-label="On this page">
          <ol>
            {sections.map((s) => (
              <li key={s.id}>
                <a href={`#${s.id}`}>{s.name}</a>
              </li>
            ))}
          </ol>
        </nav>
        <article>
          <Flag />
          <Release />
          <KnightCapital />
          <FirstRollout environment={environment} />
          <Decider />
          <Gone />
          <section id="words">
            <h2>The words</h2>
            <dl className="words">
              {glossary.map(([word, meaning]) => (
                <Fragment key={word}>
                  <dt>{word}</dt>
                  <dd>{meaning}</dd>
                </Fragment>
              ))}
            </dl>
          </section>
        </article>
      </div>
    </div>
  );
}

function Flag() {
  return (
    <section id="flag">
      <h2>What a flag is</h2>
      <p>
        A flag is a question that a program asks while it runs: <em>which checkout does this user get?</em> The answer
        is not written in the program. It is kept here, where you can change it, and the program has the new answer
        within a second. Nothing is built, installed or restarted.
      </p>
      <FlagDrawing />
      <p>
        The possible answers are the flag’s <strong>variants</strong>: often just <em>on</em> and <em>off</em>, but also
        texts, numbers, or a whole configuration. Who gets which one is decided by <strong>rules</strong>, from top to
        bottom: <em>our own people get the new checkout</em>. Everybody whom no rule matches gets the default. That can
        be a <strong>split</strong>: 5% get the one, 95% the other. Who is among the 5% is computed from their name, so
        everybody keeps what they have, however often they ask.
      </p>
      <p>
        And each flag has a <strong>kill switch</strong>. Off means: everyone gets the safe answer, now. You need no
        release, no vote and no developer for that.
      </p>
    </section>
  );
}

function Release() {
  return (
    <section id="release">
      <h2>Deployment and release</h2>
      <p>
        A <strong>deployment</strong> puts new code on the machines. A <strong>release</strong> lets people meet it.
        Most companies do both at once: the code is installed, and with that everyone has it. If it is broken, everyone
        has that, too, and the way back is another deployment, in a hurry.
      </p>
      <ReleaseDrawing />
      <p>
        With a flag between the two, the code is installed and asleep. You wake it for your own people, then for 1% of
        the users, then for more, for as long as nothing gets worse. If something does, it goes back to sleep in
        seconds, for those few who had it. Deployments become dull, which is what they should be. Releases become
        decisions, made by the people who know whether the time has come.
      </p>
    </section>
  );
}
