import { Code, ConnectError } from "@connectrpc/connect";
import { useQueryClient } from "@tanstack/react-query";
import {
  createContext,
  type ReactNode,
  type RefObject,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
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
  // Fails with words where one is logged in as before, or may be.
  logOut(): Promise<void>;
};

// Who it is, so far as one can tell: nobody, somebody, or whoever comes.
type Answer =
  | { kind: "unreachable" }
  | { kind: "out"; methods: LoginMethods }
  | { kind: "in"; identity: Identity | undefined };

// `ended`: somebody was logged in here, and did not log out here.
type State =
  | { kind: "asking" }
  | { kind: "unreachable" }
  | { kind: "out"; methods: LoginMethods; ended: boolean }
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

async function whoIsIt(): Promise<Answer> {
  try {
    return { kind: "in", identity: (await identities.whoAmI({})).identity?.identity };
  } catch (failure) {
    if (ConnectError.from(failure).code !== Code.Unauthenticated) return { kind: "unreachable" };
  }
  try {
    return { kind: "out", methods: await methods() };
  } catch {
    return { kind: "unreachable" };
  }
}

async function endSession() {
  const response = await fetch("/auth/logout", { method: "POST" }).catch(() => undefined);
  if (!response) throw new Error("The server cannot be reached. You may still be logged in: try again.");
  if (!response.ok) throw new Error("The server could not end your session. You are still logged in: try again.");
  sessionStorage.clear();
}

// Asks again when another tab of this browser, which has the same cookie, was told of somebody else
// than this one; and when the tab is looked at again, as browsers put tabs to sleep.
function useOtherTabs(
  channel: RefObject<BroadcastChannel | undefined>,
  known: RefObject<string | undefined>,
  ask: () => Promise<void>,
) {
  useEffect(() => {
    const mine = new BroadcastChannel("tidegate-session");
    channel.current = mine;
    mine.onmessage = ({ data }) => {
      if (data !== known.current) void ask();
    };
    const onVisible = () => {
      if (document.visibilityState === "visible") void ask();
    };
    document.addEventListener("visibilitychange", onVisible);
    return () => {
      mine.close();
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [channel, known, ask]);
}

// SessionProvider finds out who looks at the page, and shows `login` to who has to say it. Whoever
// it is next finds nothing of the one before.
export function SessionProvider(props: {
  children: ReactNode;
  login: (methods: LoginMethods, done: () => void, ended: boolean) => ReactNode;
  waiting: ReactNode;
  unreachable: (again: () => void) => ReactNode;
}) {
  const [state, setState] = useState<State>({ kind: "asking" });
  const queries = useQueryClient();
  // Who it was by the newest answer; undefined: there was none.
  const known = useRef<string | undefined>(undefined);
  // Somebody is logged in, as far as this tab knows.
  const inside = useRef(false);
  const asked = useRef(0);
  const others = useRef<BroadcastChannel | undefined>(undefined);
  const shown = useRef(state);
  shown.current = state;

  const ask = useCallback(async () => {
    const mine = ++asked.current;
    const answer = await whoIsIt();
    if (mine !== asked.current) return; // a newer question has the newer answer
    if (answer.kind === "unreachable") {
      setState((now) => (now.kind === "in" ? now : answer));
      return;
    }
    const before = known.current;
    const who = answer.kind === "out" ? "nobody" : `id ${answer.identity?.id ?? ""}`;
    known.current = who;
    if (before !== who) others.current?.postMessage(who);
    if (answer.kind === "out") {
      setState({ ...answer, ended: inside.current });
      return;
    }
    const { identity } = answer;
    inside.current = !!identity;
    const session: Session = {
      identity,
      name: identity ? identity.displayName || identity.name : actor() || "anonymous",
      open: !identity,
      may: (...asked) => allows(identity, ...asked),
      logOut: async () => {
        await endSession();
        inside.current = false;
        setState({ kind: "asking" });
      },
    };
    // The page goes before somebody else's comes: it would go on with what it holds, and keep it.
    if (shown.current.kind === "in" && before !== who) {
      setState({ kind: "asking" });
      return;
    }
    belongTo(identity?.id ?? "");
    setState({ kind: "in", session });
  }, []);
  useOtherTabs(others, known, ask);

  useEffect(() => onLoggedOut(() => setState((now) => (now.kind === "in" ? { kind: "asking" } : now))), []);

  useEffect(() => {
    if (known.current !== undefined && state.kind !== "in") queries.clear(); // the next one may be somebody else
    if (state.kind === "asking") void ask();
  }, [state.kind, ask, queries]);

  return useMemo(() => {
    switch (state.kind) {
      case "asking":
        return props.waiting;
      case "unreachable":
        return props.unreachable(() => void ask());
      case "out":
        return props.login(state.methods, () => void ask(), state.ended);
      case "in":
        return <Current.Provider value={state.session}>{props.children}</Current.Provider>;
    }
  }, [state, props, ask]);
}
