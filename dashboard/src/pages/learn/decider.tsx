import { EvidenceDrawing } from "./drawings";
import { Figure } from "./figure";

export function Decider() {
  return (
    <section id="decider">
      <h2>How the decider decides</h2>
      <p>
        The <strong>decider</strong> looks after rollouts, once a second, day and night. Some users have the new
        variant, the <em>treatment</em>; the others have the old one, the <em>control</em>. It compares the two{" "}
        <strong>in the same minutes</strong>. If a network fails, it fails for both, and says nothing against either.
      </p>
      <p>
        You say what must not get worse, and by how much: that is a <strong>guardrail</strong> and its margin. Then
        three questions are asked, all the time:
      </p>
      <ol className="bullets numbered">
        <li>
          <strong>Is it harmful?</strong> If it is clear enough that the treatment is worse than the margin allows, the
          rollout goes back to 0%. Gross harm is clear in seconds. Small harm takes longer, because luck looks like it.
          A good rollout is shut by mistake with a probability of 1% at most, however long it runs.
        </li>
        <li>
          <strong>Is it safe?</strong> That no harm was seen is not enough: perhaps nobody looked. Before more people
          get it, it has to be shown that it cannot be much worse. Each stage asks for more.
        </li>
        <li>
          <strong>Can the figures be believed?</strong> Do all relays have the stage? Have they told what they counted?
          Do as many people have the treatment as should? If it crashes for some of them, they are missing, and what is
          left looks fine. While one of these is wrong, it waits.
        </li>
      </ol>
      <EvidenceDrawing />
      <p>
        With few users little can be shown, and it waits for longer. It says so, and how long it will take at this
        traffic. No news is never good news: where nothing is reported, nothing is widened.
      </p>
      <p>
        Each decision is kept, with the figures that it was made from. You can read why, and compute it again. And you
        are above it: pause, go on, stop, at any time.
      </p>
    </section>
  );
}

export function Gone() {
  return (
    <section id="gone">
      <h2>When something is down</h2>
      <p>
        Your programs ask a <strong>relay</strong> beside them, not this server. The relay has all flags in memory and
        on its disk.
      </p>
      <Tree />
      <ul className="bullets">
        <li>
          <strong>The server is gone:</strong> relays go on answering from what they have, for as long as it takes. Each
          answer says how old it is. Nothing can be changed meanwhile; the page you look at says so, and comes back by
          itself.
        </li>
        <li>
          <strong>A relay is cut off during a rollout:</strong> after 10 seconds it judges by itself, by what it has
          counted. If that says harm, it serves the old variant, and tells of it when it is heard again.
        </li>
        <li>
          <strong>A relay starts while everything above is down:</strong> it reads its disk and answers.
        </li>
        <li>
          <strong>The relay itself is gone:</strong> your program gets the default that you wrote into its question, or,
          if it evaluates by itself, goes on with its own copy.
        </li>
        <li>
          <strong>What was counted</strong> waits on the relay’s disk, and is counted later, once.
        </li>
      </ul>
    </section>
  );
}

function Tree() {
  return (
    <Figure caption="Each line can break. What is to the right of it goes on.">
      <svg
        className="drawing"
        viewBox="0 0 640 172"
        role="img"
        aria-label="The control server streams changes to relays in two regions. Programs ask the relay of their region."
      >
        <rect className="box accent" x={8} y={54} width={140} height={42} rx={8} />
        <text x={78} y={80} textAnchor="middle" className="strong">
          control server
        </text>
        {[
          [16, "relay, Europe"],
          [92, "relay, America"],
        ].map(([y, name]) => {
          const top = Number(y);
          return (
            <g key={name}>
              <path className="line" d={`M148 75 C200 75 200 ${top + 21} 250 ${top + 21}`} />
              <rect className="box" x={250} y={top} width={140} height={42} rx={8} />
              <text x={320} y={top + 26} textAnchor="middle" className="strong">
                {name}
              </text>
              {[0, 1, 2].map((i) => (
                <g key={i}>
                  <path
                    className="line"
                    d={`M390 ${top + 21} C440 ${top + 21} 440 ${top + 3 + i * 18} 486 ${top + 3 + i * 18}`}
                  />
                  <rect className="box" x={486} y={top - 4 + i * 18} width={120} height={14} rx={4} />
                  <text x={546} y={top + 7 + i * 18} textAnchor="middle" className="tiny">
                    your program
                  </text>
                </g>
              ))}
            </g>
          );
        })}
        <text x={200} y={164} textAnchor="middle" className="small">
          changes, as they happen
        </text>
        <text x={466} y={164} textAnchor="middle" className="small">
          questions, and answers at once
        </text>
      </svg>
    </Figure>
  );
}
