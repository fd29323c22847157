import { Caller } from "./caller";
import { type Person, World } from "./processes";
import { flags, segments } from "./seed-flags";
import { Traffic } from "./traffic";

const environment = "production";

export const people = {
  ada: { name: "ada@example.com", password: "correct horse battery staple", roles: ["administrator"] },
  ben: { name: "ben@example.com", password: "tide waits for nobody at all", roles: ["operator"] },
  cleo: { name: "cleo@example.com", password: "a harbour full of small boats", roles: ["editor"] },
  eve: { name: "eve@example.com", password: "only here to look around today", roles: ["viewer"] },
} satisfies Record<string, Person>;

const rate = (name: string, relative: number) => ({
  name,
  metric: name,
  statistic: "STATISTIC_RATE",
  worse: "DIRECTION_INCREASE",
  margin: { relative },
});

const stage = (weight: number, minDwell: string) => ({ weight, minDwell });

// A rollout that is good and slow, one that breaks, one that was completed, and an experiment.
const running = {
  key: "one-page-checkout",
  description: "The checkout on one page, for everyone",
  flagKey: "checkout.one-page",
  treatment: "on",
  owner: "payments",
  strategy: "STRATEGY_CANARY",
  stages: [stage(500, "15s"), stage(2000, "1800s"), stage(5000, "1800s"), stage(10_000, "3600s")],
  bake: "3600s",
  guardrails: [rate("checkout-errors", 0.5)],
  success: { metric: "purchases", statistic: "STATISTIC_RATE", better: "DIRECTION_INCREASE" },
};
const breaking = {
  key: "semantic-search",
  description: "Ranking by meaning, carefully",
  flagKey: "search.semantic",
  treatment: "on",
  owner: "search",
  strategy: "STRATEGY_CANARY",
  stages: [stage(2000, "600s"), stage(5000, "600s"), stage(10_000, "600s")],
  bake: "600s",
  guardrails: [rate("search-errors", 0.5)],
};
const complete = {
  key: "express-pay",
  description: "One click, after two weeks with our own people",
  flagKey: "checkout.express-pay",
  treatment: "on",
  owner: "payments",
  strategy: "STRATEGY_CANARY",
  stages: [stage(10_000, "3600s")],
  bake: "3600s",
  guardrails: [rate("pay-errors", 0.5)],
};

const experiment = {
  key: "ranking-model-12",
  description: "Whether the deeper model is worth what it costs",
  flagKey: "search.ranking-model",
  treatment: "gbdt-12",
  owner: "search",
  strategy: "STRATEGY_EXPERIMENT",
  guardrails: [rate("empty-results", 0.5)],
  success: { metric: "results-opened", statistic: "STATISTIC_RATE", better: "DIRECTION_INCREASE" },
};

export const keys = { running: running.key, shut: breaking.key, experiment: experiment.key };

export type Seeded = {
  world: World;
  ada: Caller;
  ben: Caller;
  cleo: Caller;
  traffic: Traffic;
  // Of one of the keys, and of one of the people.
  ids: { key: string; person: string };
};

// A world that looks as if it were used: people, keys, flags with owners and histories, segments,
// four rollouts, five relays in three regions, and users.
export async function seed(): Promise<Seeded> {
  const world = await World.start({ people: Object.values(people), server: ["--instance-id=control-1"] });
  try {
    return await fill(world);
  } catch (failed) {
    await world.stop(); // its processes would outlive the tests
    throw failed;
  }
}

async function fill(world: World): Promise<Seeded> {
  const second = await world.addRelay("us-east");
  await world.addRelay("us-east");
  await world.addRelay("eu-west", "relay");
  await world.addRelay("ap-south", "relay");
  const [ada, ben, cleo] = await Promise.all([
    Caller.logIn(world, people.ada),
    Caller.logIn(world, people.ben),
    Caller.logIn(world, people.cleo),
  ]);
  await things(cleo);
  const ids = { key: await accessKeys(ada), person: await personId(ada, people.ben) };
  await history(ada, ben, cleo);
  const traffic = new Traffic({
    relayHTTP: `127.0.0.1:${second.relayHTTP}`,
    relayGRPC: `127.0.0.1:${second.relay}`,
    environment,
    flagKeys: flags.map((f) => f.flag.key),
    behaviours: [
      { flagKey: running.flagKey, metric: "checkout-errors", failing: {} },
      { flagKey: running.flagKey, metric: "purchases", failing: { on: 0.14, off: 0.12 } },
      { flagKey: breaking.flagKey, metric: "search-errors", failing: { on: 0.07 } },
      { flagKey: experiment.flagKey, metric: "results-opened", failing: { "gbdt-12": 0.315, "gbdt-11": 0.3 } },
      { flagKey: experiment.flagKey, metric: "empty-results", failing: {} },
    ],
  });
  await rollouts(ben);
  await requests(ben);
  return { world, ada, ben, cleo, traffic, ids };
}

async function things(cleo: Caller) {
  for (const to of [environment, "staging", "dev"])
    for (const segment of segments)
      await cleo.call("SegmentService/CreateSegment", { environment: to, segment, reason: "an audience with a name" });
  for (const { flag } of flags) {
    const reason = flag.key.startsWith("ops.") ? "so that we can act at night" : "for what we build this quarter";
    await cleo.call("FlagService/CreateFlag", { environment, flag, reason });
  }
  for (const [to, some] of [
    ["dev", flags],
    ["staging", flags.slice(0, 26)],
  ] as const)
    for (const { flag } of some)
      await cleo.call("FlagService/CreateFlag", { environment: to, flag, reason: "tried here first" });
}

async function personId(ada: Caller, person: Person): Promise<string> {
  const { identities } = await ada.call("IdentityService/ListIdentities", {});
  const found = identities.find((i: { identity: { name: string } }) => i.identity.name === person.name);
  return found.identity.id;
}

// Some keys; the id of the last one.
async function accessKeys(ada: Caller): Promise<string> {
  let id = "";
  for (const [name, role, owner] of [
    ["shop, server", "ROLE_SDK_SERVER", "web"],
    ["shop, browsers", "ROLE_SDK_CLIENT", "web"],
    ["nightly jobs", "ROLE_SDK_SERVER", "platform"],
  ]) {
    const made = await ada.call("KeyService/CreateKey", {
      name,
      role,
      owner,
      environments: [environment],
      reason: "a new service",
    });
    id = made.key.key.id;
  }
  return id;
}

async function history(ada: Caller, ben: Caller, cleo: Caller) {
  const enable = (who: Caller, flagKey: string, enabled: boolean, reason: string) =>
    who.call("FlagService/SetEnabled", { environment, flagKey, enabled, reason });
  await enable(ben, "web.service-worker", false, "old pages are served after a deployment, INC-2041");
  await enable(ben, "fraud.step-up", false, "the provider of the second factor is down, INC-2042");
  await enable(ben, "fraud.step-up", true, "the provider is back");
  await enable(cleo, "web.service-worker", true, "fixed in 4.18: the cache is cleared");
  const { flag } = await cleo.call("FlagService/GetFlag", { environment, flagKey: "search.synonyms" });
  await cleo.call("FlagService/UpdateFlag", {
    environment,
    flag: {
      ...flag.flag,
      rules: [
        {
          id: "canada",
          description: "Canada has two languages",
          clauses: [{ operator: "OPERATOR_IN_SEGMENT", values: ["canada"] }],
          outcome: { variant: "on" },
        },
      ],
    },
    baseRevision: flag.revision,
    reason: "Canada first: it has the most to win",
  });
  const { settings, revision } = await ada.call("EnvironmentService/GetEnvironment", { environment });
  await ada.call("EnvironmentService/UpdateEnvironment", {
    environment,
    settings: { ...settings, protected: true, flagPolicy: { requireOwner: true, explanation: "wiki/flags" } },
    baseRevision: revision,
    reason: "what is changed here reaches users",
  });
}

async function rollouts(ben: Caller) {
  const start = (rollout: object, reason: string) =>
    ben.call("RolloutService/StartRollout", { environment, rollout, reason });
  await start(complete, "ready for everyone");
  await ben.call("RolloutService/PromoteRollout", {
    environment,
    key: complete.key,
    stage: 1,
    reason: "two weeks with our own people found nothing",
  });
  await start(breaking, "the index is warm");
  await start(experiment, "both models answer within 40 ms since the last release");
  await start(running, "the tests of last month went well");
}

// What somebody would like others to look at, where the server has change requests.
async function requests(ben: Caller) {
  if (!(await ben.has("ChangeRequestService/ListChangeRequests"))) return;
  for (const [flagKey, reason] of [
    ["mail.weekly-digest", "a quarter of the readers, the letter is ready"],
    ["web.service-worker", "the cache is cleared on each deployment now"],
  ]) {
    const { flag } = await ben.call("FlagService/GetFlag", { environment, flagKey });
    const split = {
      variants: [
        { variant: "on", weight: 2500 },
        { variant: "off", weight: 7500 },
      ],
    };
    await ben.call("ChangeRequestService/ProposeChangeRequest", {
      environment,
      flags: [{ flag: { ...flag.flag, defaultOutcome: { split } }, baseRevision: flag.revision }],
      reason,
    });
  }
}

// Waits until a rollout is in a state.
export async function awaitState(who: Caller, key: string, state: string): Promise<void> {
  const end = Date.now() + 180_000;
  for (;;) {
    const { rollout } = await who.call("RolloutService/GetRollout", { environment, key });
    const now = rollout.rollout.status.state;
    if (now === state) return;
    if (Date.now() > end) throw new Error(`${key} is ${now}, and does not become ${state}`);
    await new Promise((r) => setTimeout(r, 500));
  }
}
