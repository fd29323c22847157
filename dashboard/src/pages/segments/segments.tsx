import "./segments.css";
import { Plus, Search, Users } from "lucide-react";
import { useDeferredValue, useMemo } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { useRefusal } from "../../api/use-write";
import { Button, Empty, Input, Loading } from "../../components/basics";
import { PageHead } from "../../components/page";
import type { SegmentSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { count, plural } from "../../lib/numbers";
import { segmentSize } from "./words";

// The audiences that flags share.
export default function Segments() {
  const environment = useEnvironment();
  const segments = useLive((l) => l.segments);
  const flags = useLive((l) => l.flags);
  const ready = useLive((l) => l.ready);
  const [, navigate] = useLocation();
  const text = new URLSearchParams(useSearch()).get("q") ?? "";
  const asked = useDeferredValue(text);
  const found = useMemo(() => search(segments.values(), asked), [segments, asked]);
  const uses = useMemo(() => {
    const all = new Map<string, number>();
    for (const f of flags.values()) for (const s of f.segments) all.set(s, (all.get(s) ?? 0) + 1);
    return all;
  }, [flags]);
  const mayWrite = useRefusal(environment)() === undefined;
  const ask = (q: string) =>
    navigate(`/${environment}/segments${q ? `?q=${encodeURIComponent(q)}` : ""}`, { replace: true });

  return (
    <div className="page">
      <PageHead
        title="Segments"
        tab={`Segments · ${environment}`}
        actions={
          mayWrite && (
            <Link className="button primary" href={`/${environment}/segments/~new`}>
              <Plus size={16} aria-hidden /> New segment
            </Link>
          )
        }
      >
        {ready ? plural(segments.size, "segment") : "Loading…"}: audiences that the rules of many flags can name.
      </PageHead>
      <search className="segment-search">
        <Search size={15} aria-hidden />
        <Input
          type="search"
          aria-label="Search the segments"
          placeholder="Search by key, description or owner"
          value={text}
          onChange={(e) => ask(e.target.value)}
        />
      </search>
      <section className="card" aria-label="Segments">
        {!ready ? (
          <div className="body">
            <Loading rows={5} label="Loading the segments" />
          </div>
        ) : found.length === 0 ? (
          segments.size > 0 ? (
            <Empty icon={Search} title="No segment is like that">
              <Button onClick={() => ask("")}>Show all segments</Button>
            </Empty>
          ) : (
            <Empty icon={Users} title={`There are no segments in ${environment} yet`}>
              <p>A segment is an audience with a name, such as beta testers: a list of keys, rules, or both.</p>
              {mayWrite && (
                <Link className="button primary" href={`/${environment}/segments/~new`}>
                  Make the first one
                </Link>
              )}
            </Empty>
          )
        ) : (
          <div className="scroll-x">
            <table className="table segment-table">
              <thead>
                <tr>
                  <th scope="col">Segment</th>
                  <th scope="col">Who</th>
                  <th scope="col" className="right">
                    Used by
                  </th>
                  <th scope="col">Owner</th>
                </tr>
              </thead>
              <tbody>
                {found.map((s) => (
                  <tr key={s.key}>
                    <td>
                      <Link className="name" href={`/${environment}/segments/${s.key}`}>
                        {s.key}
                      </Link>
                      <div className="small soft">{s.description || <span className="faint">no description</span>}</div>
                    </td>
                    <td className="small num">{segmentSize(s)}</td>
                    <td className="right num">
                      {uses.get(s.key)
                        ? `${count(uses.get(s.key) ?? 0)} ${uses.get(s.key) === 1 ? "flag" : "flags"}`
                        : "—"}
                    </td>
                    <td className="small soft">{s.owner || <span className="faint">nobody</span>}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </section>
    </div>
  );
}

function search(all: Iterable<SegmentSummary>, text: string): SegmentSummary[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return [...all]
    .filter((s) => words.every((w) => `${s.key}\n${s.description}\n${s.owner}`.toLowerCase().includes(w)))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}
