import { useQueryClient } from "@tanstack/react-query";
import { Suspense, useEffect, useRef, useState } from "react";
import { Redirect, Route, Switch, useLocation } from "wouter";
import { LiveStore } from "./api/live";
import { EnvironmentContext, useEnvironments } from "./api/use-environment";
import { LiveContext, useLive } from "./api/use-live";
import { Loading } from "./components/basics";
import { ProblemNote } from "./components/problem";
import { Shell } from "./components/shell";
import { Waiting } from "./pages/login";
import { NotFound } from "./pages/not-found";
import { pages } from "./pages/pages";

const lastEnvironment = "tidegate-environment";

// Every address begins with the environment that it is of.
export function App() {
  const names = useEnvironments();
  const [location] = useLocation();
  const [live] = useState(() => new LiveStore());
  const first = location.split("/")[1] ?? "";
  const known = names.data?.includes(first);

  useEffect(() => {
    if (known) localStorage.setItem(lastEnvironment, first);
  }, [known, first]);

  if (names.isPending) return <Waiting />;
  if (!names.data || names.data.length === 0) {
    return (
      <main className="centered">
        <ProblemNote failure={names.error ?? new Error("there is no environment")} again={() => void names.refetch()} />
      </main>
    );
  }
  if (first === "") {
    const last = localStorage.getItem(lastEnvironment) ?? "";
    const to = names.data.includes(last) ? last : (names.data.find((n) => n === "production") ?? names.data[0]);
    return <Redirect to={`/${to}/flags`} replace />;
  }
  if (!known)
    return (
      <main>
        <NotFound what={`There is no environment “${first}” here, or you may not see it.`} />
      </main>
    );
  return (
    <EnvironmentContext.Provider value={first}>
      <LiveContext.Provider value={live}>
        <Looking live={live} environment={first} />
      </LiveContext.Provider>
    </EnvironmentContext.Provider>
  );
}

function Looking({ live, environment }: { live: LiveStore; environment: string }) {
  const [location] = useLocation();
  const rollout = /^\/[^/]+\/(?:rollouts|experiments)\/(?!~)([^/]+)/.exec(location)?.[1] ?? "";
  useEffect(() => {
    live.look(environment, decodeURIComponent(rollout));
  }, [live, environment, rollout]);
  useEffect(() => () => live.close(), [live]);
  useReturn();
  return (
    <Shell environment={environment}>
      <Suspense
        fallback={
          <div className="page">
            <Loading />
          </div>
        }
      >
        <Switch>
          {pages.map((p) => (
            <Route key={p.path} path={`/:environment${p.path}`} component={p.page} />
          ))}
          <Route>
            <NotFound what="There is no page at this address." />
          </Route>
        </Switch>
      </Suspense>
    </Shell>
  );
}

// When the server was gone and is back, what was read before is read again: it may have changed
// meanwhile, or have failed.
function useReturn() {
  const queries = useQueryClient();
  const connection = useLive((l) => l.connection);
  const gone = useRef(false);
  useEffect(() => {
    if (connection === "lost") gone.current = true;
    if (connection !== "live" || !gone.current) return;
    gone.current = false;
    void queries.invalidateQueries();
  }, [connection, queries]);
}
