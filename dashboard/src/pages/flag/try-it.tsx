import "./try-it.css";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { flags } from "../../api/transport";
import { Card, Loading } from "../../components/basics";
import type { Version } from "../../components/draft";
import { ProblemNote } from "../../components/problem";
import type { Flag, FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import type { Context } from "../../lib/context";
import { fingerprint } from "../../lib/values";
import { Answer } from "./answer";
import { ContextForm } from "./context-form";
import { FlagSteps } from "./steps";

// What the flag answers somebody, and each step that leads there: as it is saved, and as it is
// edited.
export function TryIt({
  environment,
  saved,
  draft,
}: {
  environment: string;
  saved: Version<typeof FlagSchema>;
  draft: Flag | undefined;
}) {
  const [context, setContext] = useState(lastContext);
  const [region, setRegion] = useState("");
  const asked = useDeferredValue(context);
  return (
    <>
      <Card title="Who asks">
        <ContextForm
          context={context}
          region={region}
          setRegion={setRegion}
          setContext={(c) => {
            sessionStorage.setItem(last, JSON.stringify(c));
            setContext(c);
          }}
        />
      </Card>
      <div className={draft ? "columns" : "stack"}>
        <Outcome
          title={draft ? "As it is saved" : "What is answered"}
          environment={environment}
          context={asked}
          region={region}
          flagKey={saved.message.key}
          version={saved.revision.toString()}
        />
        {draft && (
          <Outcome title="As you edit it" environment={environment} context={asked} region={region} flag={draft} />
        )}
      </div>
    </>
  );
}

const last = "tidegate-try";

function lastContext(): Context {
  try {
    const c = JSON.parse(sessionStorage.getItem(last) ?? "");
    if (typeof c.targetingKey === "string" && typeof c.attributes === "object") return c;
  } catch {
    // There is none yet.
  }
  return { name: "", targetingKey: "user-1", attributes: {} };
}

function Outcome({
  title,
  environment,
  context,
  region,
  flagKey,
  version,
  flag,
}: {
  title: string;
  environment: string;
  context: Context;
  region: string;
  flagKey?: string;
  version?: string;
  flag?: Flag;
}) {
  const query = useQuery({
    queryKey: ["explain", environment, flagKey, version, flag, context, region],
    queryKeyHashFn: fingerprint,
    queryFn: ({ signal }) => {
      const { targetingKey, attributes } = context;
      return flags.explainEvaluation(
        { environment, ...(flag ? { flag } : { flagKey }), context: { targetingKey, attributes }, region },
        { signal },
      );
    },
    placeholderData: keepPreviousData,
  });
  return (
    <Card title={title}>
      {query.error && !query.isFetching ? (
        <ProblemNote failure={query.error} again={() => void query.refetch()} />
      ) : query.data ? (
        <div className="stack">
          <Answer answer={query.data.answer} />
          <FlagSteps explanation={query.data.explanation} />
        </div>
      ) : (
        <Loading rows={4} label="Evaluating" />
      )}
    </Card>
  );
}
