import { flags, segments } from "../../api/transport";
import type { Proposal } from "../../components/proposal";
import { Action, ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import type { PromoteEnvironmentResponse } from "../../gen/tidegate/control/v1/environment_service_pb";
import type { ApplyResult } from "../../gen/tidegate/control/v1/flag_service_pb";
import type { Flag, Segment } from "../../gen/tidegate/flag/v1/flag_pb";

// Where what is promoted is read: of one environment, as it is now.
export type Source = {
  flag: (environment: string, key: string) => Promise<Flag | undefined>;
  segment: (environment: string, key: string) => Promise<Segment | undefined>;
};

export const stored: Source = {
  flag: async (environment, flagKey) => (await flags.getFlag({ environment, flagKey })).flag?.flag,
  segment: async (environment, segmentKey) => (await segments.getSegment({ environment, segmentKey })).segment?.segment,
};

// What a promotion that has been written came to.
export function promotionDone(
  { created, updated, deleted }: Pick<PromoteEnvironmentResponse, "created" | "updated" | "deleted">,
  from: string,
  to: string,
): string {
  if (created + updated + deleted === 0) return `Nothing differed between ${from} and ${to}`;
  return `Promoted from ${from} to ${to}: ${created} new, ${updated} changed, ${deleted} deleted`;
}

// How many things a change request may name.
export const most = 30;

// A promotion as a change request has it: each thing on condition that it is still what the
// preview has shown. A flag keeps its state, and arrives off where it is new, unless that is
// promoted, too.
export async function promotionProposal(
  results: ApplyResult[],
  { from, to, includeEnabled }: { from: string; to: string; includeEnabled: boolean },
  source: Source = stored,
): Promise<Proposal> {
  const differing = results.filter((r) => r.action !== Action.UNSPECIFIED);
  if (differing.length === 0) throw new Error("There is nothing to promote.");
  if (differing.length > most)
    throw new Error(
      `A change request names ${most} flags and segments at most, and this would change ${differing.length}: choose keys.`,
    );
  const written = differing.filter((r) => r.action !== Action.DELETED);
  const of = (kind: ResourceKind) => written.filter((r) => r.kind === kind);
  return {
    segments: await Promise.all(
      of(ResourceKind.SEGMENT).map(async ({ key, revision }) => ({
        segment: there(await source.segment(from, key), key, from),
        baseRevision: revision,
      })),
    ),
    flags: await Promise.all(
      of(ResourceKind.FLAG).map(async ({ key, revision }) => {
        const flag = there(await source.flag(from, key), key, from);
        const enabled = includeEnabled
          ? flag.enabled
          : revision > 0n && there(await source.flag(to, key), key, to).enabled;
        return { flag: { ...flag, enabled }, baseRevision: revision };
      }),
    ),
    deletes: differing
      .filter((r) => r.action === Action.DELETED)
      .map(({ kind, key, revision }) => ({ kind, key, baseRevision: revision })),
  };
}

function there<T>(found: T | undefined, key: string, environment: string): T {
  if (found === undefined) throw new Error(`${key} is not in ${environment} any more: look again.`);
  return found;
}
