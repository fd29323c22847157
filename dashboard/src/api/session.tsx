import { Code, ConnectError } from "@connectrpc/connect";
import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from "react";
import type { Identity } from "../gen/tidegate/access/v1/identity_pb";
import { Role } from "../gen/tidegate/access/v1/identity_pb";
import { type May, someKey } from "../lib/rights";
import { belongTo } from "../lib/tab-storage";
import { actor } from "./actor";
import { identities, onLoggedOut } from "./transport";

// How one can log in, as /auth/methods tells it.
export type LoginMethods = {
  password: boolean;
  openid?: string;
  issuer?: string;
  open: boolean;
};

export type Session = {
  // Unset: the server asks nobody.
  identity?: Identity;
  name: string;
  open: boolean;
  may: May;
  logOut(): Promise<void>;
};

type State =
  | { kind: "asking" }
  | { kind: "unreachable" }
  | { kind: "out"; methods: LoginMethods }
  | { kind: "in"; session: Session };

const Current = createContext<Session | undefined>(undefined);

export function useSession(): Session {
  const session = useContext(Current);
  if (!session) throw new Error("useSession is for what is inside of SessionProvider");
  return session;
}

async function methods(): Promise<LoginMethods> {
  const response = await fetch("/auth/methods", {
    headers: { Accept: "application/json" },
  });
  if (!response.ok) throw new Error(response.statusText);
  return response.json();
}

export function allows(identity: Identity | undefined, ...[role, environment, key]: Parameters<May>): boolean {
  if (!identity) return true;
  return identity.grants.some(
    (g) =>
      g.role >= role &&
      g.role <= Role.ADMINISTRATOR &&
      (g.environments.length === 0 || g.environments.includes(environment)) &&
      (g.keyPrefixes.length === 0 ||
        key === someKey ||
        (key !== undefined && g.keyPrefixes.some((p) => key.startsWith(p)))),
  );
}

// SessionProvider finds out who looks at the page, and shows `login` to who has to say it.
export function SessionProvider(props: {
  children: ReactNode;
  login: (methods: LoginMethods, done: () => void) => ReactNode;
  waiting: ReactNode;
  unreachable: (again: () => void) => ReactNode;
}) {
  const [state, setState] = useState<State>({ kind: "asking" });
  const queries = useQueryClient();

  const ask = useCallback(async () => {
    try {
      const who = await identities.whoAmI({});
      const identity = who.identity?.identity;
      belongTo(identity?.id ?? "");
      setState({
        kind: "in",
        session: {
          identity,
          name: identity ? identity.displayName || identity.name : actor() || "anonymous",
          open: !identity,
          may: (role, environment, key) => allows(identity, role, environment, key),
          logOut: async () => {
            await fetch("/auth/logout", { method: "POST" });
            sessionStorage.clear();
            setState({ kind: "out", methods: await methods() });
          },
        },
      });
    } catch (failure) {
      if (ConnectError.from(failure).code !== Code.Unauthenticated) {
        setState({ kind: "unreachable" });
        return;
      }
      try {
        setState({ kind: "out", methods: await methods() });
      } catch {
        setState({ kind: "unreachable" });
      }
    }
  }, []);

  useEffect(() => onLoggedOut(() => setState((now) => (now.kind === "in" ? { kind: "asking" } : now))), []);

  useEffect(() => {
    if (state.kind === "asking") void ask();
    if (state.kind === "out") queries.clear(); // the next one may be somebody else
  }, [state.kind, ask, queries]);

  return useMemo(() => {
    switch (state.kind) {
      case "asking":
        return props.waiting;
      case "unreachable":
        return props.unreachable(() => void ask());
      case "out":
        return props.login(state.methods, () => void ask());
      case "in":
        return <Current.Provider value={state.session}>{props.children}</Current.Provider>;
    }
  }, [state, props, ask]);
}
