import { create } from "@bufbuild/protobuf";
import { X } from "lucide-react";
import { useId, useMemo, useState } from "react";
import { Link } from "wouter";
import { useLive } from "../../api/use-live";
import { Button, Card, IconButton, Input } from "../../components/basics";
import { isPicked } from "../../components/chips";
import { useForm, useProblem } from "../../components/draft";
import type { FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { type Flag, type Prerequisite, PrerequisiteSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { suggest } from "../../lib/suggest";
import type { Edit } from "./targeting";

// Other flags that must be on and serve something before this one is looked at.
export function Prerequisites({ environment, flag, edit }: { environment: string; flag: Flag; edit: Edit }) {
  const { disabled } = useForm();
  const flags = useLive((l) => l.flags);
  const problem = useProblem("prerequisites");
  const others = useMemo(
    () => [...flags.keys()].filter((k) => k !== flag.key && !flag.prerequisites.some((p) => p.flagKey === k)).sort(),
    [flags, flag.key, flag.prerequisites],
  );
  if (disabled && flag.prerequisites.length === 0) return null;
  return (
    <Card title="Prerequisites">
      <div className="stack tight">
        {flag.prerequisites.length === 0 && (
          <p className="soft">None. A prerequisite is another flag that must serve something first, such as “on”.</p>
        )}
        {flag.prerequisites.map((p, i) => (
          <One
            key={p.flagKey}
            environment={environment}
            prerequisite={p}
            path={`prerequisites[${i}]`}
            other={flags.get(p.flagKey)}
            change={(how) =>
              edit((f) => {
                const mine = f.prerequisites[i];
                if (mine) how(mine);
              })
            }
            remove={() => edit((f) => void f.prerequisites.splice(i, 1))}
          />
        ))}
        {!disabled && (
          <AddFlag
            keys={others}
            add={(key) => {
              if (key === flag.key) return "A flag cannot need itself.";
              if (flag.prerequisites.some((p) => p.flagKey === key)) return `${key} is one already.`;
              const other = flags.get(key);
              if (!other) return `There is no flag ${key} in ${environment}.`;
              edit((f) => {
                const variants = other.variants.filter((v) => v !== other.offVariant).slice(0, 1);
                f.prerequisites.push(create(PrerequisiteSchema, { flagKey: key, variants }));
              });
              return undefined;
            }}
          />
        )}
        {problem && <span className="problem">{problem}</span>}
      </div>
    </Card>
  );
}

function AddFlag({ keys, add }: { keys: string[]; add: (key: string) => string | undefined }) {
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState<string>();
  const options = useId();
  function commit(key: string) {
    if (key === "") return;
    const problem = add(key);
    setWrong(problem);
    if (!problem) setText("");
  }
  return (
    <>
      <div className="row">
        <Input
          aria-label="Add a prerequisite: the key of a flag"
          aria-invalid={wrong ? true : undefined}
          placeholder="Add a flag by its key"
          list={options}
          className="mono"
          style={{ width: 320, maxWidth: "100%" }}
          spellCheck={false}
          autoComplete="off"
          value={text}
          onChange={(e) => {
            setWrong(undefined);
            setText(e.target.value);
            if (isPicked(e)) commit(e.target.value);
          }}
          onKeyDown={(e) => {
            if (e.key !== "Enter") return;
            e.preventDefault();
            commit(text.trim());
          }}
        />
        <Button small disabled={text.trim() === ""} onClick={() => commit(text.trim())}>
          Add
        </Button>
      </div>
      <datalist id={options}>
        {suggest(keys, text).map((k) => (
          <option key={k} value={k} />
        ))}
      </datalist>
      {wrong && <span className="problem">{wrong}</span>}
    </>
  );
}

function One({
  environment,
  prerequisite,
  path,
  other,
  change,
  remove,
}: {
  environment: string;
  prerequisite: Prerequisite;
  path: string;
  other: FlagSummary | undefined;
  change: (how: (p: Prerequisite) => void) => void;
  remove: () => void;
}) {
  const { disabled } = useForm();
  const problem = useProblem(path, true);
  const variants = [...new Set([...(other?.variants ?? []), ...prerequisite.variants])];
  return (
    <fieldset className="prerequisite">
      <legend className="visually-hidden">{prerequisite.flagKey}</legend>
      <Link className="mono" href={`/${environment}/flags/${prerequisite.flagKey}`}>
        {prerequisite.flagKey}
      </Link>
      <span className="soft">
        {other && !other.enabled ? "is off now; it must be on and serve" : "must be on and serve"}
      </span>
      {variants.map((v) => (
        <label key={v} className="check">
          <input
            type="checkbox"
            disabled={disabled}
            checked={prerequisite.variants.includes(v)}
            onChange={(e) =>
              change((p) => {
                p.variants = e.target.checked ? [...p.variants, v] : p.variants.filter((x) => x !== v);
              })
            }
          />
          <code>{v}</code>
        </label>
      ))}
      {!disabled && (
        <IconButton icon={X} small label={`Remove the prerequisite ${prerequisite.flagKey}`} onClick={remove} />
      )}
      {problem && <span className="problem">{problem}</span>}
    </fieldset>
  );
}
