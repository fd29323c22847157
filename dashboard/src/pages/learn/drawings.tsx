import { Figure } from "./figure";

// A program asks, and is answered by what is kept elsewhere.
export function FlagDrawing() {
  return (
    <Figure caption="The code asks; the answer is yours.">
      <svg
        className="drawing"
        viewBox="0 0 640 158"
        role="img"
        aria-label="A program asks which checkout user 42 gets. The flag new-checkout answers: on. People change the flag."
      >
        <rect className="box" x={8} y={30} width={190} height={84} rx={10} />
        <text x={103} y={56} textAnchor="middle" className="small">
          your program
        </text>
        <text x={103} y={80} textAnchor="middle" className="mono">
          new-checkout?
        </text>
        <text x={103} y={98} textAnchor="middle" className="mono small">
          user-42, Canada
        </text>
        <path className="line arrow" d="M198 58 H338" markerEnd="url(#learn-arrow)" />
        <text x={268} y={50} textAnchor="middle" className="small">
          asks
        </text>
        <path className="line arrow" d="M342 92 H202" markerEnd="url(#learn-arrow)" />
        <text x={268} y={110} textAnchor="middle" className="strong">
          on
        </text>
        <rect className="box accent" x={342} y={14} width={200} height={116} rx={10} />
        <text x={442} y={38} textAnchor="middle" className="strong">
          new-checkout
        </text>
        <text x={358} y={62} className="small">
          1. staff → on
        </text>
        <text x={358} y={82} className="small">
          2. Canada → on
        </text>
        <text x={358} y={102} className="small">
          else 5% on, 95% off
        </text>
        <text x={442} y={150} textAnchor="middle" className="small">
          kept here, changed by you
        </text>
        <path className="line arrow" d="M618 72 H546" markerEnd="url(#learn-arrow)" />
        <circle className="box" cx={618} cy={58} r={9} />
        <path className="line" d="M602 92 C602 74 634 74 634 92" />
        <defs>
          <marker id="learn-arrow" viewBox="0 0 8 8" refX={7} refY={4} markerWidth={7} markerHeight={7} orient="auto">
            <path className="head" d="M0 0 L8 4 L0 8 Z" />
          </marker>
        </defs>
      </svg>
    </Figure>
  );
}

// How many people have something new, over time.
export function ReleaseDrawing() {
  return (
    <Figure caption="Who meets a defect, and for how long.">
      <svg
        className="drawing"
        viewBox="0 0 640 190"
        role="img"
        aria-label="Without a flag everyone has the new code at once, until it is deployed back. With a flag the share grows in stages, and falls to zero in seconds when something breaks."
      >
        <Axes x={44} title="a deployment is the release" />
        <path className="area bad" d="M84 150 V40 H236 V150 Z" />
        <path className="curve bad" d="M44 150 H84 V40 H236 V150 H292" />
        <text x={160} y={92} textAnchor="middle" className="strong bad">
          everyone
        </text>
        <text x={160} y={110} textAnchor="middle" className="small">
          has the defect
        </text>
        <Axes x={372} title="a flag between the two" />
        <path className="area" d="M412 150 V144 H452 V134 H492 V116 H516 V150 Z" />
        <path className="curve" d="M372 150 H412 V144 H452 V134 H492 V116 H516 V150 H620" />
        <circle className="mark bad" cx={516} cy={116} r={5} />
        <text x={528} y={112} className="strong bad">
          it is shut
        </text>
        <text x={528} y={129} className="small">
          in seconds, for 20%
        </text>
      </svg>
    </Figure>
  );
}

function Axes({ x, title }: { x: number; title: string }) {
  return (
    <g>
      <text x={x} y={18} className="strong">
        {title}
      </text>
      <path className="line" d={`M${x} 30 V150 H${x + 248}`} />
      <text x={x - 6} y={44} textAnchor="end" className="small">
        100%
      </text>
      <text x={x - 6} y={154} textAnchor="end" className="small">
        0
      </text>
      <text x={x + 248} y={170} textAnchor="end" className="small">
        time
      </text>
    </g>
  );
}

// The decider: evidence of harm against the threshold, stage by stage.
export function EvidenceDrawing() {
  return (
    <Figure caption="More people, more evidence, a narrower band. Above the margin it would be shut.">
      <svg
        className="drawing"
        viewBox="0 0 640 200"
        role="img"
        aria-label="The ratio of errors with its uncertainty over time: the band narrows, stays below the margin, and the share goes from 1% to 5% to 20%."
      >
        <path className="line" d="M44 16 V160 H616" />
        <text x={612} y={62} textAnchor="end" className="small bad">
          the margin: what you allow
        </text>
        <path
          className="band"
          d="M60 24 C130 48 180 62 240 74 C340 88 480 96 616 100 L616 118 C480 122 340 128 240 140 C180 148 130 154 60 158 Z"
        />
        <path className="margin" d="M44 70 H616" />
        <path className="curve" d="M60 118 C150 106 240 112 330 108 S520 110 616 109" />
        {[
          [60, "1%"],
          [240, "5%"],
          [420, "20%"],
        ].map(([x, share]) => (
          <g key={share}>
            <path className="stage" d={`M${x} 16 V160`} />
            <text x={Number(x) + 6} y={176} className="small">
              {share} have it
            </text>
          </g>
        ))}
        <text x={300} y={146} className="small">
          the truth is in this band
        </text>
      </svg>
    </Figure>
  );
}
