import type { Relay } from "../../gen/tidegate/control/v1/fleet_service_pb";
import { plural } from "../../lib/numbers";
import { standingOf } from "./relays";
import { type Node, type Placed, place, treeOf } from "./tree";

const box = { width: 144, height: 36 };
const gap = { x: 32, y: 14 };

const short = (text: string, most = 17) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function toneOf(node: Node, environment: string): "good" | "warn" | "bad" {
  const tones = node.relays.map((r) => standingOf(r, environment).tone);
  return tones.includes("bad") ? "bad" : tones.includes("warn") ? "warn" : "good";
}

function nameOf(node: Node): string {
  if (node.kind === "group") return plural(node.relays.length, "relay");
  return node.id || "unknown server";
}

function underName(node: Node): string {
  if (node.kind === "server") return "control server";
  return node.relays[0]?.region || "no region";
}

// Who follows whom: servers on the left, relays to the right of what they follow. The same as a
// list is below it.
export function TreePicture({ relays, environment }: { relays: Relay[]; environment: string }) {
  const roots = treeOf(relays);
  const { placed, rows, depth } = place(roots);
  const width = (depth + 1) * box.width + depth * gap.x + 2;
  const height = rows * (box.height + gap.y) - gap.y + 2;
  const x = (p: Placed) => 1 + p.depth * (box.width + gap.x);
  const y = (p: Placed) => 1 + p.row * (box.height + gap.y);
  return (
    <div className="stack tight">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <div className="scroll-x" tabIndex={0} role="group" aria-label="Picture of the tree">
        <svg
          className="tree"
          viewBox={`0 0 ${width} ${height}`}
          width={width}
          role="img"
          aria-label="Who follows whom, as in the list"
        >
          {placed.map(
            (p) =>
              p.parent && (
                <path
                  key={p.node.id}
                  className={`edge ${toneOf(p.node, environment)} ${p.node.relays.every((r) => r.connected) ? "" : "cut"}`}
                  d={edge(x(p.parent) + box.width, y(p.parent) + box.height / 2, x(p), y(p) + box.height / 2)}
                />
              ),
          )}
          {placed.map((p) => (
            <g key={p.node.id} transform={`translate(${x(p)} ${y(p)})`} className={`node ${p.node.kind}`}>
              <title>{nameOf(p.node)}</title>
              {p.node.kind === "group" && <rect className="behind" x={3} y={3} {...box} rx={7} />}
              <rect {...box} rx={7} />
              {p.node.kind !== "server" && <circle className={toneOf(p.node, environment)} cx={14} cy={18} r={4} />}
              <text x={p.node.kind === "server" ? 12 : 26} y={15}>
                {short(nameOf(p.node))}
              </text>
              <text className="under" x={p.node.kind === "server" ? 12 : 26} y={28}>
                {short(underName(p.node), 20)}
              </text>
            </g>
          ))}
        </svg>
      </div>
      <details className="small">
        <summary>The same as a list</summary>
        <TreeList nodes={roots} environment={environment} />
      </details>
    </div>
  );
}

function edge(x1: number, y1: number, x2: number, y2: number): string {
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

function TreeList({ nodes, environment }: { nodes: Node[]; environment: string }) {
  return (
    <ul className="tree-list">
      {nodes.map((n) => (
        <li key={n.id}>
          {nameOf(n)} <span className="soft">({underName(n)})</span>
          {n.kind === "relay" && n.relays[0] && `: ${standingOf(n.relays[0], environment).words}`}
          {n.children.length > 0 && <TreeList nodes={n.children} environment={environment} />}
        </li>
      ))}
    </ul>
  );
}
