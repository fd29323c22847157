import { Code, ConnectError } from "@connectrpc/connect";
import type { AuditEntry } from "../gen/tidegate/control/v1/audit_pb";
import type { Relay } from "../gen/tidegate/control/v1/fleet_service_pb";
import type { SeriesPoint } from "../gen/tidegate/control/v1/rollout_series_pb";
import {
  type FlagActivity,
  type FlagSummary,
  Part,
  type RolloutStanding,
  type RolloutSummary,
  type SegmentSummary,
  type WatchResponse,
} from "../gen/tidegate/control/v1/watch_service_pb";
import type { Cursor } from "../gen/tidegate/sync/v1/sync_pb";
import { isOver } from "../lib/rollout-words";
import { watch } from "./transport";

// How the stream stands. Whatever it is, what was known stays to be looked at.
export type Connection = "connecting" | "live" | "lost" | "refused";

// What is known of an environment. Each map is replaced when something in it changes, so that
// who looks at one of them alone is not told of the others.
export type Live = {
  environment: string;
  connection: Connection;
  // Why it is not live.
  problem: string;
  // Since when it is not.
  since: number;
  // The flags, segments and rollouts have been whole once.
  ready: boolean;
  flags: ReadonlyMap<string, FlagSummary>;
  activities: ReadonlyMap<string, FlagActivity>;
  segments: ReadonlyMap<string, SegmentSummary>;
  rollouts: ReadonlyMap<string, RolloutSummary>;
  standings: ReadonlyMap<string, RolloutStanding>;
  relays: ReadonlyMap<string, Relay>;
  unreachableServers: readonly string[];
  // Newest first.
  entries: readonly AuditEntry[];
  // Of the rollout that is looked at.
  series: readonly SeriesPoint[];
  revision: bigint;
};

const nothing = {
  ready: false,
  flags: new Map(),
  activities: new Map(),
  segments: new Map(),
  rollouts: new Map(),
  standings: new Map(),
  relays: new Map(),
  unreachableServers: [],
  entries: [],
  series: [],
  revision: 0n,
};

// How many entries are kept.
export const maxEntries = 200;
const maxSeries = 2500;
// The server sends something each 5 s.
const silence = 16_000;
const parts = [Part.FLAGS, Part.SEGMENTS, Part.ROLLOUTS, Part.RELAYS, Part.ENTRIES];

function replaced<V>(map: ReadonlyMap<string, V>, news: V[], key: (v: V) => string, gone: string[] = []) {
  if (news.length === 0 && gone.length === 0) return map;
  const next = new Map(map);
  for (const one of news) next.set(key(one), one);
  for (const one of gone) next.delete(one);
  return next;
}

// What is known once `m` says which parts begin anew. Entries after a gap do, too: a list that has
// one would be taken for whole.
function forgotten(now: Live, m: WatchResponse): Live {
  if (m.reset) return { ...now, ...nothing, ready: now.ready };
  const relays = m.resetParts.includes(Part.RELAYS) ? nothing.relays : now.relays;
  const entries = m.entriesMissed || m.resetParts.includes(Part.ENTRIES) ? nothing.entries : now.entries;
  return { ...now, relays, entries };
}

// The server does not say of a rollout that is over that nothing is judged any more.
function underWay(standings: Live["standings"], rollouts: Live["rollouts"], m: WatchResponse): Live["standings"] {
  const told = [...m.rollouts.map((r) => r.key), ...m.standings.map((s) => s.rolloutKey)];
  const gone = told.filter((key) => standings.has(key) && isOver(rollouts.get(key)?.status));
  return replaced(standings, [], (s) => s.rolloutKey, gone);
}

// Applies one message. What it does not mention stays the same object.
export function apply(now: Live, m: WatchResponse): Live {
  const before = forgotten(now, m);
  const rollouts = replaced(before.rollouts, m.rollouts, (r) => r.key, m.deletedRollouts);
  const standings = replaced(before.standings, m.standings, (s) => s.rolloutKey, m.deletedRollouts);
  const tellsRelays = m.relays.length > 0 || m.resetParts.includes(Part.RELAYS);
  return {
    ...before,
    connection: "live",
    problem: "",
    ready: before.ready || m.ready,
    flags: replaced(before.flags, m.flags, (f) => f.key, m.deletedFlags),
    activities: replaced(before.activities, m.activities, (a) => a.flagKey, m.deletedFlags),
    segments: replaced(before.segments, m.segments, (s) => s.key, m.deletedSegments),
    rollouts,
    standings: underWay(standings, rollouts, m),
    relays: replaced(before.relays, m.relays, (r) => r.instanceId, m.goneRelays),
    unreachableServers: tellsRelays ? m.unreachableServers : before.unreachableServers,
    entries:
      m.entries.length > 0 ? [...m.entries].reverse().concat(before.entries).slice(0, maxEntries) : before.entries,
    series: m.series.length > 0 ? [...before.series, ...m.series].slice(-maxSeries) : before.series,
    revision: m.cursor?.revision ?? m.heartbeat?.revision ?? before.revision,
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const stop = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", stop, { once: true });
  });
}

// The next frame; a tab that nobody sees has none: soon.
function nextFrame(): Promise<void> {
  return new Promise((resolve) => {
    const frame = requestAnimationFrame(() => {
      clearTimeout(timer);
      resolve();
    });
    const timer = setTimeout(() => {
      cancelAnimationFrame(frame);
      resolve();
    }, 100);
  });
}

// When the browser has nothing more urgent to do. Safari does not tell.
function idle(): Promise<void> {
  return new Promise((resolve) => {
    if ("requestIdleCallback" in window) requestIdleCallback(() => resolve(), { timeout: 100 });
    else setTimeout(resolve);
  });
}

// What was heard since somebody looked, and is not shown yet.
type Heard = {
  signal: AbortSignal;
  cursor: Cursor | undefined;
  pending: WatchResponse[];
  // The state was whole once.
  whole: boolean;
  // It was, and is being replaced: it is shown until the new one is whole.
  replacing: boolean;
  // When what is pending will have been shown.
  shown?: Promise<void>;
};

// LiveStore is the one stream of a tab: of the environment, and the rollout, that are looked at.
export class LiveStore {
  private state: Live = {
    environment: "",
    connection: "connecting",
    problem: "",
    since: Date.now(),
    ...nothing,
  };
  private listeners = new Set<() => void>();
  private rollout = "";
  // Up to which the state is shown.
  private cursor: Cursor | undefined;
  private stop = new AbortController();

  read = (): Live => this.state;

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  // Looks at an environment, and at a rollout of it more closely.
  look(environment: string, rollout = "") {
    if (environment === this.state.environment && rollout === this.rollout) return;
    if (environment !== this.state.environment) {
      this.cursor = undefined;
      this.set({
        environment,
        connection: "connecting",
        problem: "",
        since: Date.now(),
        ...nothing,
      });
    } else {
      this.set({ ...this.state, series: [] });
    }
    this.rollout = rollout;
    this.stop.abort();
    this.stop = new AbortController();
    void this.run(this.stop.signal);
  }

  // Tries again at once.
  retry = () => {
    this.stop.abort();
    this.stop = new AbortController();
    void this.run(this.stop.signal);
  };

  // Ends the stream; look begins another one.
  close() {
    this.stop.abort();
    this.state = { ...this.state, environment: "" };
  }

  // Shows a change before the server does; what comes from there replaces it. What is returned
  // takes it back, unless it was replaced already.
  assume(flag: FlagSummary): () => void {
    const before = this.state.flags.get(flag.key);
    const show = (one: FlagSummary) =>
      this.set({ ...this.state, flags: replaced(this.state.flags, [one], (f) => f.key) });
    show(flag);
    return () => {
      if (before && this.state.flags.get(flag.key) === flag) show(before);
    };
  }

  private async run(signal: AbortSignal) {
    const heard: Heard = { signal, cursor: this.cursor, pending: [], whole: this.state.ready, replacing: false };
    for (let attempt = 0; !signal.aborted; attempt++) {
      const problem = await this.once(heard, () => {
        attempt = 0;
      });
      if (signal.aborted) return;
      // One that was started just now may not be known here yet; one that is gone never will be.
      if (problem.code === Code.NotFound && this.rollout !== "") {
        if (attempt >= 3) this.rollout = "";
        await pause(200, signal);
        continue;
      }
      // What was heard comes before how it ended.
      this.show(heard);
      if (problem.code === Code.Unauthenticated) {
        this.lose("refused", problem.rawMessage);
        return this.close();
      }
      const refused = problem.code === Code.PermissionDenied || problem.code === Code.NotFound;
      this.lose(refused ? "refused" : "lost", problem.rawMessage);
      if (refused) return;
      const wait = Math.min(5000, 250 * 2 ** Math.min(attempt, 5)) * (0.75 + Math.random() / 2);
      await pause(wait, signal);
    }
  }

  // One stream, until it ends, or says nothing for too long.
  private async once(heard: Heard, alive: () => void): Promise<ConnectError> {
    const { signal } = heard;
    const mine = new AbortController();
    const give = () => mine.abort();
    signal.addEventListener("abort", give, { once: true });
    let watchdog = setTimeout(give, silence);
    if (heard.replacing) {
      // The last stream brought a part of a new state: all after what is shown is asked for again.
      heard.pending = [];
      heard.cursor = this.cursor;
      heard.replacing = false;
    }
    try {
      const request = {
        environment: this.state.environment,
        parts,
        from: heard.cursor,
        rolloutKey: this.rollout,
      };
      for await (const m of watch.watch(request, { signal: mine.signal })) {
        if (signal.aborted) break;
        alive();
        clearTimeout(watchdog);
        watchdog = setTimeout(give, silence);
        if (m.cursor) heard.cursor = m.cursor;
        this.take(m, heard);
        if (!this.state.ready) await this.breathe(heard);
      }
      return new ConnectError("the server ended the stream", Code.Unavailable);
    } catch (failure) {
      return mine.signal.aborted
        ? new ConnectError("the server has been silent for too long", Code.Unavailable)
        : ConnectError.from(failure);
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", give);
    }
  }

  // Messages that come together are shown together, in one frame.
  private take(m: WatchResponse, heard: Heard) {
    heard.pending.push(m);
    if (m.reset) heard.replacing = heard.whole;
    if (m.ready) {
      heard.whole = true;
      heard.replacing = false;
    }
    if (!heard.replacing) heard.shown ??= nextFrame().then(() => this.show(heard));
  }

  private show(heard: Heard) {
    heard.shown = undefined;
    // What is not shown when somebody looks elsewhere is asked for again.
    if (heard.replacing || heard.signal.aborted || heard.pending.length === 0) return;
    const messages = heard.pending;
    heard.pending = [];
    this.cursor = messages.findLast((one) => one.cursor)?.cursor ?? this.cursor;
    this.set(messages.reduce(apply, this.state));
  }

  // A large state comes in many messages, each of which takes a while to read: who waits for it
  // sees the first one at once, and is not kept from typing by the others.
  private async breathe(heard: Heard) {
    if (document.visibilityState !== "visible") return;
    if (this.state.flags.size === 0) await heard.shown;
    await idle();
  }

  private lose(connection: Connection, problem: string) {
    const since = this.state.connection === "live" ? Date.now() : this.state.since;
    this.set({ ...this.state, connection, problem, since });
  }

  private set(next: Live) {
    this.state = next;
    for (const listener of this.listeners) listener();
  }
}
