import { Figure } from "./figure";

// What is told here is what the United States Securities and Exchange Commission found: release
// 34-70694 of 16 October 2013.
export function KnightCapital() {
  return (
    <section id="knight">
      <h2>Forty-five minutes in 2012</h2>
      <p>
        Knight Capital was one of the largest traders of American shares. On Wednesday, 1 August 2012, it went live with
        new code for a programme of the New York Stock Exchange that began that morning. The code had been put on its
        servers in the days before, one after the other, by hand. There were eight of them. One was forgotten.
      </p>
      <p>
        The new code was switched on by a flag in the orders. For that, a flag was used again that had once meant
        something else: it had started a function called Power Peg, which nobody had used since 2003, and which had
        never been removed. On seven servers the flag now started the new code. On the eighth it woke the old one.
      </p>
      <KnightDrawing />
      <p>
        Power Peg sent orders until it was told that enough had been bought or sold. That counting had been moved
        elsewhere in 2005, so nothing told it. From the opening at 9:30 on it turned 212 small orders of customers into
        more than four million trades. Before the market opened, a system had sent 97 e-mails to people at Knight that
        named the error. They were not meant as alarms, and nobody acted on them.
      </p>
      <p>
        While it ran, the new code was taken off the seven good servers, in the belief that it was to blame. The flag
        was still on, so the old function then ran on all eight. After about 45 minutes it was stopped. Knight had
        traded 397 million shares in 154 stocks, and held positions of several billion dollars that it had never wanted.
        To get rid of them cost about 440 million dollars, as the company said the next day; the final count was above
        460 million. The company needed others’ money within days to go on, and was bought within a year.
      </p>
      <h3>What would have helped</h3>
      <ul className="bullets">
        <li>
          <strong>To see that one server differed.</strong> Here each change has a revision, and the <em>Fleet</em> page
          says which relays have it: “7 of 8” cannot be overlooked.
        </li>
        <li>
          <strong>One switch that stops it, everywhere.</strong> The kill switch serves the safe variant to all, and
          needs no deployment. It is never held up by an approval.
        </li>
        <li>
          <strong>A few first.</strong> With 1% of the orders, a mistake costs a hundredth.
        </li>
        <li>
          <strong>Somebody who watches, and may act.</strong> A guardrail shuts a rollout by itself. It does not send
          e-mails and hope.
        </li>
        <li>
          <strong>A key is used once.</strong> A flag that is not needed any more is removed, from the code and from
          here. That is what the <em>Hygiene</em> page is for.
        </li>
      </ul>
      <p className="small faint">
        Source: U.S. Securities and Exchange Commission, order in the matter of Knight Capital Americas LLC, release
        34-70694, 16 October 2013.
      </p>
    </section>
  );
}

const servers = [1, 2, 3, 4, 5, 6, 7, 8];

function KnightDrawing() {
  return (
    <Figure caption="The same flag, and two meanings.">
      <svg
        className="drawing"
        viewBox="0 0 640 150"
        role="img"
        aria-label="One flag reaches eight servers. On seven it starts the new code, on the eighth the old function."
      >
        <rect className="box accent" x={250} y={6} width={140} height={34} rx={8} />
        <text x={320} y={28} textAnchor="middle" className="strong">
          the flag: on
        </text>
        {servers.map((n) => {
          const x = 8 + (n - 1) * 79;
          const old = n === 8;
          return (
            <g key={n}>
              <path className={`line ${old ? "bad" : ""}`} d={`M320 40 C320 66 ${x + 35} 54 ${x + 35} 82`} />
              <rect className={`box ${old ? "bad" : ""}`} x={x} y={82} width={70} height={54} rx={8} />
              <text x={x + 35} y={105} textAnchor="middle" className="small">
                server {n}
              </text>
              <text x={x + 35} y={124} textAnchor="middle" className={old ? "strong bad" : "strong"}>
                {old ? "old" : "new"}
              </text>
            </g>
          );
        })}
      </svg>
    </Figure>
  );
}
