import { type ComponentType, useEffect, useReducer, useState } from "react";
import { Loading } from "../components/basics";

type Load = () => Promise<{ default: ComponentType }>;

// A page's path is below its environment. Its code is loaded when it is shown, or ahead of that.
export function at(path: string, load: Load) {
  let Loaded: ComponentType | undefined;
  const ahead = async () => {
    Loaded ??= (await load()).default;
  };
  function Page() {
    const [, show] = useReducer((n: number) => n + 1, 0);
    const [failure, setFailure] = useState<Error>();
    // As it is drawn: when the effect runs, the code may be there, and nothing draws it.
    const missing = !Loaded;
    useEffect(() => {
      if (missing) ahead().then(show, setFailure);
    }, [missing]);
    if (failure) throw failure;
    if (Loaded) return <Loaded />;
    return (
      <div className="page">
        <Loading />
      </div>
    );
  }
  return { path: `/:environment${path}`, ahead, page: Page };
}

// Of two that an address fits, the first one is meant.
export const pages = [
  at("/flags", () => import("./flags/flags")),
  at("/flags/~new", () => import("./flag/new-flag")),
  at("/flags/:key", () => import("./flag/flag")),
  at("/segments", () => import("./segments/segments")),
  at("/segments/~new", () => import("./segments/new-segment")),
  at("/segments/:key", () => import("./segments/segment")),
  at("/fleet", () => import("./fleet/fleet")),
  at("/audit", () => import("./audit/audit")),
  at("/hygiene", () => import("./hygiene/hygiene")),
  at("/learn", () => import("./learn/learn")),
  at("/requests", () => import("./requests/requests")),
  at("/requests/:number", () => import("./requests/request")),
  at("/people", () => import("./people/people")),
  at("/people/:id", () => import("./people/person")),
  at("/account", () => import("./account/account")),
  at("/keys", () => import("./keys/keys")),
  at("/keys/:id", () => import("./keys/key")),
  at("/environments", () => import("./environments/environments")),
  at("/environments/settings", () => import("./environments/settings")),
  at("/environments/compare", () => import("./environments/compare")),
  at("/rollouts", () => import("./rollouts/rollouts")),
  at("/rollouts/~new", () => import("./rollouts/new-rollout")),
  at("/rollouts/:key", () => import("./rollouts/rollout")),
  at("/experiments", () => import("./experiments/experiments")),
  at("/experiments/:key", () => import("./experiments/experiment")),
];
