import { Caller } from "../e2e/caller";
import { ada } from "../e2e/fixtures";
import type { World } from "../e2e/processes";
import { flags, segments } from "../e2e/seed-flags";

export const many = Number(process.env.FLAGS ?? 10_000);
// What one transaction takes.
const atOnce = 30;

type Flag = { key: string; description?: string; owner?: string; tags?: string[] };

// The seed's flags over and over, each time for another service.
export function manyFlags(): Flag[] {
  const services = ["web", "ios", "android", "partners", "kiosk", "call-centre", "back-office", "warehouse"];
  return Array.from({ length: many }, (_, i) => {
    const flag = flags[i % flags.length]?.flag as Flag;
    const round = Math.floor(i / flags.length);
    return { ...flag, key: `${services[round % services.length]}.${flag.key}-${round}` };
  });
}

// Fills two environments: the second one differs in every hundredth flag.
export async function fill(world: World) {
  const caller = await Caller.logIn(world, ada);
  const all = manyFlags();
  const some = all.map((flag, i) => (i % 100 === 0 ? { ...flag, description: "as it is tried" } : flag));
  await Promise.all([fillOne(caller, "production", all), fillOne(caller, "staging", some)]);
}

async function fillOne(caller: Caller, environment: string, all: Flag[]) {
  for (const segment of segments)
    await caller.call("SegmentService/CreateSegment", { environment, segment, reason: "an audience" });
  for (let i = 0; i < all.length; i += atOnce) {
    const some = all.slice(i, i + atOnce).map((flag) => ({ flag }));
    await caller.call("FlagService/Apply", { environment, flags: some, reason: "many" });
  }
}
