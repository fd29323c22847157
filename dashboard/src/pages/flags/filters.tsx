import { Search } from "lucide-react";
import { useMemo } from "react";
import { Input, Select } from "../../components/basics";
import type { FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";
import { kindWords } from "../../lib/flag-words";
import { type FlagQuery, facet } from "./filter";

export function Filters({
  query,
  flags,
  ask,
}: {
  query: FlagQuery;
  flags: ReadonlyMap<string, FlagSummary>;
  ask: (change: Partial<FlagQuery>) => void;
}) {
  const owners = useMemo(() => facet(flags.values(), (f) => [f.owner]), [flags]);
  const tags = useMemo(() => facet(flags.values(), (f) => f.tags), [flags]);
  return (
    <search className="filters">
      <div className="search">
        <Search size={15} aria-hidden />
        <Input
          type="search"
          aria-label="Search the flags"
          placeholder="Key, description, owner or tag"
          value={query.text}
          onChange={(e) => ask({ text: e.target.value })}
          onKeyDown={(e) => {
            if (e.key !== "ArrowDown" && e.key !== "Enter") return;
            e.preventDefault();
            document.querySelector<HTMLElement>(".flag .name")?.focus();
          }}
        />
        {query.text === "" && <kbd aria-hidden>/</kbd>}
      </div>
      <Select
        aria-label="State"
        value={query.state}
        onChange={(e) => ask({ state: e.target.value as FlagQuery["state"] })}
      >
        <option value="">Any state</option>
        <option value="on">On</option>
        <option value="off">Off</option>
        <option value="rollout">Under a rollout</option>
        <option value="stale">Stale</option>
        <option value="unusable">Unusable</option>
      </Select>
      <Select aria-label="Kind" value={query.kind} onChange={(e) => ask({ kind: Number(e.target.value) })}>
        <option value={0}>Any kind</option>
        {[FlagKind.RELEASE, FlagKind.EXPERIMENT, FlagKind.OPERATIONAL, FlagKind.PERMISSION].map((k) => (
          <option key={k} value={k}>
            {kindWords[k]}
          </option>
        ))}
      </Select>
      <Choice label="Owner" any="Any owner" all={owners} value={query.owner} choose={(owner) => ask({ owner })} />
      <Choice label="Tag" any="Any tag" all={tags} value={query.tag} choose={(tag) => ask({ tag })} />
      <Select
        aria-label="Order"
        value={query.sort}
        onChange={(e) => ask({ sort: e.target.value as FlagQuery["sort"], down: false })}
      >
        <option value="key">By key</option>
        <option value="changed">Changed last</option>
        <option value="evaluated">Evaluated last</option>
        <option value="evaluations">Evaluated most</option>
      </Select>
    </search>
  );
}

function Choice(props: { label: string; any: string; all: string[]; value: string; choose: (v: string) => void }) {
  return (
    <Select aria-label={props.label} value={props.value} onChange={(e) => props.choose(e.target.value)}>
      <option value="">{props.any}</option>
      {props.value && !props.all.includes(props.value) && <option>{props.value}</option>}
      {props.all.map((v) => (
        <option key={v}>{v}</option>
      ))}
    </Select>
  );
}
