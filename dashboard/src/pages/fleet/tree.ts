import type { Relay } from "../../gen/tidegate/control/v1/fleet_service_pb";

// A node of the tree: a server, a relay, or several relays of one region that nobody follows.
export type Node = {
  id: string;
  kind: "server" | "relay" | "group";
  relays: Relay[];
  children: Node[];
};

// The tree of who follows whom. Leaves of one region under one parent become one node where
// there are more than `most` of them.
export function treeOf(relays: Iterable<Relay>, most = 6): Node[] {
  const all = [...relays];
  const nodes = new Map<string, Node>(
    all.map((r) => [r.instanceId, { id: r.instanceId, kind: "relay", relays: [r], children: [] }]),
  );
  const roots = new Map<string, Node>();
  const root = (id: string) => {
    const known = roots.get(id);
    if (known) return known;
    const made: Node = { id, kind: "server", relays: [], children: [] };
    roots.set(id, made);
    return made;
  };
  for (const r of all) {
    const node = nodes.get(r.instanceId);
    if (!node) continue;
    const parent = follows(r, nodes) ? nodes.get(r.upstream) : undefined;
    (parent ?? root(r.server || r.upstream)).children.push(node);
  }
  const list = [...roots.values()].sort(byId);
  for (const server of list) arrange(server, most);
  return list;
}

// Whether its upstream is a relay that is known, and not, by news that are out of step, below it.
function follows(r: Relay, nodes: ReadonlyMap<string, Node>): boolean {
  const seen = new Set([r.instanceId]);
  let above = nodes.get(r.upstream);
  if (!above) return false;
  while (above) {
    if (seen.has(above.id)) return false;
    seen.add(above.id);
    above = nodes.get(above.relays[0]?.upstream ?? "");
  }
  return true;
}

const byId = (a: Node, b: Node) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

function arrange(node: Node, most: number) {
  for (const child of node.children) arrange(child, most);
  const leaves = new Map<string, Node[]>();
  for (const child of node.children) {
    if (child.children.length > 0) continue;
    const region = child.relays[0]?.region ?? "";
    leaves.set(region, [...(leaves.get(region) ?? []), child]);
  }
  for (const [region, some] of leaves) {
    if (some.length <= most) continue;
    node.children = node.children.filter((c) => !some.includes(c));
    node.children.push({
      id: `${node.id}/${region}`,
      kind: "group",
      relays: some.flatMap((n) => n.relays),
      children: [],
    });
  }
  node.children.sort(byId);
}

// A node in its place: how deep it is, and in which row; a parent is in the middle of its children.
export type Placed = { node: Node; depth: number; row: number; parent?: Placed };

export function place(roots: Node[]): { placed: Placed[]; rows: number; depth: number } {
  const placed: Placed[] = [];
  let rows = 0;
  let deepest = 0;
  const walk = (node: Node, depth: number, parent?: Placed): Placed => {
    const mine: Placed = { node, depth, row: 0, parent };
    placed.push(mine);
    deepest = Math.max(deepest, depth);
    const children = node.children.map((c) => walk(c, depth + 1, mine));
    const [first, last] = [children[0], children.at(-1)];
    mine.row = first && last ? (first.row + last.row) / 2 : rows++;
    return mine;
  };
  for (const root of roots) walk(root, 0);
  return { placed, rows, depth: deepest };
}
