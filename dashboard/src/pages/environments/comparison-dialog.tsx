import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { environments } from "../../api/transport";
import { Button, Loading } from "../../components/basics";
import { Dialog } from "../../components/dialog";
import { Diff } from "../../components/diff";
import { ProblemNote } from "../../components/problem";
import { ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import type { Comparison } from "../../gen/tidegate/control/v1/environment_service_pb";
import { kindName } from "../../lib/entry-words";

// One flag or segment, field by field, in each of the environments.
export function ComparisonDialog({
  comparison,
  environments: names,
  onClose,
}: {
  comparison: Comparison;
  environments: string[];
  onClose: () => void;
}) {
  const query = useQuery({
    queryKey: ["comparison", names, comparison.kind, comparison.key],
    queryFn: async () => {
      const page = await environments.compareEnvironments({
        environments: names,
        key: comparison.key,
        includeEnabled: true,
        includeChanges: true,
      });
      return page.comparisons.find((c) => c.kind === comparison.kind);
    },
  });
  const path = comparison.kind === ResourceKind.SEGMENT ? "segments" : "flags";
  return (
    <Dialog
      title={`${kindName(comparison.kind)} ${comparison.key}`}
      wide
      onClose={onClose}
      footer={<Button onClick={onClose}>Close</Button>}
    >
      {query.error && <ProblemNote failure={query.error} />}
      {query.isPending && <Loading rows={4} />}
      {query.data?.environments.map((one, i) => (
        <section key={names[i]} className="stack tight">
          <h3>
            {one.revision > 0n ? (
              <Link href={`/${names[i]}/${path}/${encodeURIComponent(comparison.key)}`}>{names[i]}</Link>
            ) : (
              names[i]
            )}
          </h3>
          {one.revision === 0n ? (
            <p className="soft">It is not there.</p>
          ) : i === 0 ? (
            <p className="soft">The others are compared with it.</p>
          ) : (
            <Diff changes={one.changes} none={one.differs ? "It is not in the first one." : "The same."} />
          )}
        </section>
      ))}
    </Dialog>
  );
}
