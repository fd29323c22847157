import { type DescMessage, type MessageInitShape, type MessageShape, toJsonString } from "@bufbuild/protobuf";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useDeferredValue, useMemo } from "react";
import { type Problem, problemOf } from "../../api/errors";
import { flags } from "../../api/transport";
import type { FieldChange } from "../../gen/tidegate/control/v1/audit_pb";
import type { ApplyRequestSchema } from "../../gen/tidegate/control/v1/flag_service_pb";
import type { Words } from "../../lib/words";

export type Check = {
  // The server has looked at exactly this.
  current: boolean;
  changes: FieldChange[];
  problem?: Problem;
  // What is wrong, by the path of the field; and where, as people call it.
  problems: ReadonlyMap<string, string>;
  toMend: { where: Words; problem: string }[];
};

// What the server says of something that is edited: what would change, or what is wrong.
export function useCheck<S extends DescMessage>(
  schema: S,
  environment: string,
  message: MessageShape<S>,
  // Of which an apply is asked for.
  resources: (m: MessageShape<S>) => MessageInitShape<typeof ApplyRequestSchema>,
  nameOf: (m: MessageShape<S>, field: string) => Words,
  enabled: boolean,
): Check {
  const asked = useDeferredValue(message);
  const text = useMemo(() => toJsonString(schema, asked), [schema, asked]);
  const query = useQuery({
    queryKey: ["check", environment, schema.typeName, text],
    queryFn: async ({ signal }): Promise<{ changes: FieldChange[]; problem?: Problem }> => {
      try {
        const r = await flags.apply({ ...resources(asked), environment, validateOnly: true }, { signal });
        return { changes: r.results.flatMap((one) => one.changes) };
      } catch (failure) {
        if (signal.aborted) throw failure;
        return { changes: [], problem: problemOf(failure) };
      }
    },
    enabled,
    staleTime: 0,
    gcTime: 10_000,
    placeholderData: keepPreviousData,
  });
  const found = query.data;
  return useMemo(() => {
    const problems = new Map<string, string>();
    const violations = found?.problem?.violations ?? [];
    for (const v of violations) problems.set(fieldOf(v.field), v.problem);
    return {
      current: enabled && asked === message && !query.isPlaceholderData && !query.isFetching,
      changes: found?.changes ?? [],
      problem: found?.problem,
      problems,
      toMend: violations.map((v) => ({ where: nameOf(asked, fieldOf(v.field)), problem: v.problem })),
    };
  }, [found, enabled, asked, message, nameOf, query.isPlaceholderData, query.isFetching]);
}

// The path in the message of what the server names in a request: flags[0].flag.rules[1].id.
export function fieldOf(path: string): string {
  return path.replace(/^((flags|segments)\[[^\]]*\](\.|$))?((flag|segment)(\.|$))?/, "");
}
