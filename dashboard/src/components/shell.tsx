import {
  Activity,
  BookOpen,
  Boxes,
  ChevronsUpDown,
  ClipboardCheck,
  Flag,
  FlaskConical,
  KeyRound,
  Layers,
  type LucideIcon,
  Menu as MenuIcon,
  Network,
  ScrollText,
  ShieldAlert,
  Snowflake,
  Sparkles,
  UserRound,
  Users,
} from "lucide-react";
import { type ReactNode, useEffect, useMemo, useState } from "react";
import { Link, useLocation } from "wouter";
import { useSession } from "../api/session";
import { useEnvironments, useSettings } from "../api/use-environment";
import { useLive, useLiveStore } from "../api/use-live";
import { Role } from "../gen/tidegate/access/v1/identity_pb";
import { isOver } from "../lib/rollout-words";
import { span, zoned } from "../lib/time";
import { Account } from "./account";
import { Button, IconButton } from "./basics";
import { FreezeBand } from "./freeze/band";
import { PanicDialog } from "./freeze/dialogs";
import { Menu } from "./menu";

const groups: {
  name: string;
  items: { path: string; label: string; icon: LucideIcon }[];
}[] = [
  {
    name: "Release",
    items: [
      { path: "/flags", label: "Flags", icon: Flag },
      { path: "/rollouts", label: "Rollouts", icon: Activity },
      { path: "/experiments", label: "Experiments", icon: FlaskConical },
      { path: "/segments", label: "Segments", icon: Users },
    ],
  },
  {
    name: "Operate",
    items: [
      { path: "/fleet", label: "Fleet", icon: Network },
      { path: "/audit", label: "Audit trail", icon: ScrollText },
      { path: "/requests", label: "Change requests", icon: ClipboardCheck },
      { path: "/hygiene", label: "Hygiene", icon: Sparkles },
    ],
  },
  {
    name: "Settings",
    items: [
      { path: "/environments", label: "Environments", icon: Boxes },
      { path: "/people", label: "People", icon: UserRound },
      { path: "/keys", label: "Keys", icon: KeyRound },
    ],
  },
];

export function Shell({ environment, children }: { environment: string; children: ReactNode }) {
  const [open, setOpen] = useState(false);
  const [location] = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new address closes it
  useEffect(() => setOpen(false), [location]);
  useSearchKey();
  return (
    <div className="shell">
      <a className="button skip" href="#main">
        Skip to the page
      </a>
      {open && <button type="button" className="scrim" aria-label="Close the menu" onClick={() => setOpen(false)} />}
      <div className={`sidebar ${open ? "open" : ""}`}>
        <Link className="brand" href={`/${environment}/flags`}>
          <img src="/mark.svg" alt="" /> tidegate
        </Link>
        <EnvironmentSwitcher environment={environment} />
        <Navigation environment={environment} />
        <div className="foot">
          <Liveness />
          <Panic environment={environment} />
          <Account />
        </div>
      </div>
      <main id="main" tabIndex={-1}>
        <div className="topbar">
          <IconButton icon={MenuIcon} label="Menu" onClick={() => setOpen(true)} />
          <strong>{environment}</strong>
        </div>
        <Band environment={environment} />
        <FreezeBand environment={environment} />
        {children}
      </main>
    </div>
  );
}

// A slash goes to the page's search, where it has one.
function useSearchKey() {
  useEffect(() => {
    const onKey = (e: KeyboardEvent) => {
      const at = e.target as HTMLElement;
      if (e.key !== "/" || at.closest("input, textarea, select, dialog, [contenteditable]")) return;
      const box = document.querySelector<HTMLInputElement>("main input[type=search]");
      if (!box) return;
      e.preventDefault();
      box.focus();
      box.select();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
}

function Navigation({ environment }: { environment: string }) {
  const [location] = useLocation();
  const rollouts = useLive((l) => l.rollouts);
  const underWay = useMemo(() => [...rollouts.values()].filter((r) => !isOver(r.status)).length, [rollouts]);
  return (
    <nav aria-label="Pages">
      {groups.map((g) => (
        <div key={g.name}>
          <h2>{g.name}</h2>
          {g.items.map((i) => {
            const to = `/${environment}${i.path}`;
            const here = location === to || location.startsWith(`${to}/`);
            return (
              <Link key={i.path} href={to} aria-current={here ? "page" : undefined}>
                <i.icon size={16} aria-hidden /> {i.label}
                {i.path === "/rollouts" && underWay > 0 && <span className="badge accent count">{underWay}</span>}
              </Link>
            );
          })}
        </div>
      ))}
      <div>
        <Link href={`/${environment}/learn`} aria-current={location === `/${environment}/learn` ? "page" : undefined}>
          <BookOpen size={16} aria-hidden /> Learn
        </Link>
      </div>
    </nav>
  );
}

function EnvironmentSwitcher({ environment }: { environment: string }) {
  const names = useEnvironments();
  const isProtected = useSettings(environment).data?.settings?.protected;
  const [location, navigate] = useLocation();
  const rest = location.split("/")[2] ?? "flags";
  return (
    <Menu
      button={(props) => (
        <button type="button" className={`environment ${isProtected ? "protected" : ""}`} {...props}>
          {isProtected ? <ShieldAlert size={16} aria-hidden /> : <Layers size={16} aria-hidden />}
          <span className="truncate" style={{ flex: 1 }}>
            <span className="visually-hidden">Environment: </span>
            <span className="name">{environment}</span>
            {isProtected && <span className="visually-hidden">, protected</span>}
          </span>
          <ChevronsUpDown size={14} aria-hidden />
        </button>
      )}
    >
      {names.data?.map((name) => (
        <button key={name} type="button" disabled={name === environment} onClick={() => navigate(`/${name}/${rest}`)}>
          <Layers size={15} aria-hidden /> {name}
        </button>
      ))}
    </Menu>
  );
}

// What nobody may overlook: where one is, and what is out of order.
function Band({ environment }: { environment: string }) {
  const settings = useSettings(environment);
  const connection = useLive((l) => l.connection);
  const since = useLive((l) => l.since);
  const problem = useLive((l) => l.problem);
  const store = useLiveStore();
  if (connection === "lost")
    return (
      <div className="band calm" role="alert">
        <span>
          The server cannot be reached since {zoned(new Date(since))}. What you see is from then: <Age since={since} />{" "}
          ago. Nothing can be saved now, and nothing that you enter is lost; relays go on serving. Trying again…
        </span>
        <Button small onClick={store.retry}>
          Try now
        </Button>
      </div>
    );
  if (connection === "refused")
    return (
      <div className="band calm" role="alert">
        {problem}
      </div>
    );
  // Until it is known, there is room for it: the page does not jump where it matters most.
  if (settings.isPending) return <div className="band unknown" />;
  if (settings.data?.settings?.protected) return <div className="band">{environment} · changes here reach users</div>;
  return null;
}

// It counts on, and is not read out each second.
function Age({ since }: { since: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <span className="num" aria-live="off">
      {span(Math.max(1, Math.round((now - since) / 1000)))}
    </span>
  );
}

const words = {
  connecting: "Connecting…",
  live: "Live",
  lost: "Not connected",
  refused: "Not allowed",
};

function Liveness() {
  const connection = useLive((l) => l.connection);
  const revision = useLive((l) => l.revision);
  const tone = { connecting: "", live: "good", lost: "bad", refused: "warn" }[connection];
  return (
    <div className="live" title={`Revision ${revision} of the store`}>
      <span className={`dot ${tone}`} aria-hidden />
      {words[connection]}
      {connection === "live" && <span className="faint num">· revision {revision.toString()}</span>}
    </div>
  );
}

function Panic({ environment }: { environment: string }) {
  const session = useSession();
  const [asking, setAsking] = useState(false);
  if (!session.may(Role.OPERATOR, environment)) return null;
  return (
    <>
      <button
        type="button"
        className="button quiet panic"
        title="Freeze rollouts and changes, at once"
        onClick={() => setAsking(true)}
      >
        <Snowflake size={16} aria-hidden /> Freeze everything…
      </button>
      {asking && <PanicDialog environment={environment} onClose={() => setAsking(false)} />}
    </>
  );
}
