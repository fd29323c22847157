import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { matchRoute, Redirect, Route, Switch, useLocation, useRouter } from "wouter";
import { EnvironmentContext, environmentNames, useEnvironments } from "./api/use-environment";
import { useLive, useLiveStore } from "./api/use-live";
import { Guard } from "./components/guard";
import { ProblemNote } from "./components/problem";
import { Shell } from "./components/shell";
import { Waiting } from "./pages/login";
import { NotFound } from "./pages/not-found";
import { pages } from "./pages/pages";

const lastEnvironment = "tidegate-environment";

// While it is found out who asks: what most likely comes next is loaded meanwhile.
export function Ahead() {
  const queries = useQueryClient();
  const live = useLiveStore();
  const { parser } = useRouter();
  const [location] = useLocation();
  useEffect(() => {
    void queries.prefetchQuery(environmentNames);
    const page = pages.find((p) => matchRoute(parser, routeOf(p.path), location)[0]);
    page?.ahead().catch(() => {}); // who shows it says so
    const { environment, rollout } = lookedAt(location);
    if (environment) live.look(environment, rollout);
  }, [queries, live, parser, location]);
  return <Waiting />;
}

const routeOf = (path: string) => `/:environment${path}`;

// What of the environment that an address begins with is looked at more closely.
function lookedAt(location: string) {
  const [, environment = "", kind, key = ""] = location.split("/");
  const closely = (kind === "rollouts" || kind === "experiments") && !key.startsWith("~");
  return { environment, rollout: closely ? key : "" };
}

// Every address begins with the environment that it is of.
export function App() {
  const names = useEnvironments();
  const [location] = useLocation();
  const first = lookedAt(location).environment;
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
      <Looking environment={first} />
    </EnvironmentContext.Provider>
  );
}

function Looking({ environment }: { environment: string }) {
  const live = useLiveStore();
  const [location] = useLocation();
  const { rollout } = lookedAt(location);
  useEffect(() => live.look(environment, rollout), [live, environment, rollout]);
  useEffect(() => () => live.close(), [live]);
  useReturn();
  return (
    <Shell environment={environment}>
      <Guard address={location}>
        <Switch>
          {pages.map((p) => (
            <Route key={p.path} path={routeOf(p.path)} component={p.page} />
          ))}
          <Route>
            <NotFound what="There is no page at this address." />
          </Route>
        </Switch>
      </Guard>
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
