// What a company's flags look like after a year: of several teams, some of them looked after.
type Variants = Record<string, unknown>;

type Seed = {
  key: string;
  description: string;
  owner?: string;
  tags?: string[];
  kind?: "RELEASE" | "EXPERIMENT" | "OPERATIONAL" | "PERMISSION";
  on?: boolean;
  // Per cent of "on", or of the first variant.
  share?: number;
  variants?: Variants;
  rules?: object[];
  lifetime?: string;
};

const staff = (variant: string) => ({
  id: "staff",
  description: "Our own people see it first",
  clauses: [{ attribute: "email", operator: "OPERATOR_ENDS_WITH", values: ["@example.com"] }],
  outcome: { variant },
});
const inSegment = (segment: string, variant: string) => ({
  id: segment,
  clauses: [{ operator: "OPERATOR_IN_SEGMENT", values: [segment] }],
  outcome: { variant },
});

const seeds: Seed[] = [
  {
    key: "checkout.one-page",
    description: "The checkout on one page instead of four",
    owner: "payments",
    tags: ["checkout", "web"],
    kind: "RELEASE",
    rules: [staff("on"), inSegment("beta-testers", "on")],
  },
  {
    key: "checkout.express-pay",
    description: "Pay with one click where the card is known",
    owner: "payments",
    tags: ["checkout"],
    kind: "RELEASE",
  },
  {
    key: "checkout.tax-service",
    description: "Taxes come from the new service",
    owner: "payments",
    tags: ["checkout", "backend"],
    kind: "RELEASE",
    share: 100,
    lifetime: "2592000s",
  },
  {
    key: "checkout.invoices",
    description: "Pay by invoice, for companies that we know",
    owner: "payments",
    tags: ["checkout"],
    kind: "PERMISSION",
    rules: [inSegment("enterprise", "on")],
  },
  {
    key: "search.semantic",
    description: "Ranking by meaning, from the vector index",
    owner: "search",
    tags: ["search", "ml"],
    kind: "RELEASE",
  },
  {
    key: "search.autocomplete",
    description: "Suggestions while somebody types",
    owner: "search",
    tags: ["search", "web"],
    kind: "RELEASE",
    share: 100,
    lifetime: "1s",
  },
  {
    key: "search.ranking-model",
    description: "Which model ranks the results",
    owner: "search",
    tags: ["search", "ml"],
    kind: "EXPERIMENT",
    share: 50,
    variants: { "gbdt-12": { model: "gbdt-12", depth: 12 }, "gbdt-11": { model: "gbdt-11", depth: 10 } },
  },
  {
    key: "search.synonyms",
    description: "Synonyms of the customer’s language",
    owner: "search",
    tags: ["search"],
    kind: "RELEASE",
    share: 25,
  },
  {
    key: "home.recommendations",
    description: "Recommendations above the fold",
    owner: "growth",
    tags: ["home", "ml"],
    kind: "EXPERIMENT",
    share: 50,
  },
  {
    key: "home.hero",
    description: "What the first picture says",
    owner: "growth",
    tags: ["home"],
    kind: "EXPERIMENT",
    share: 34,
    variants: { seasonal: "seasonal", personal: "personal", plain: "plain" },
  },
  {
    key: "home.dark-mode",
    description: "The shop in dark colours",
    owner: "web",
    tags: ["web"],
    kind: "PERMISSION",
    share: 100,
  },
  {
    key: "web.new-navigation",
    description: "The navigation that the tests of last summer liked",
    owner: "web",
    tags: ["web"],
    kind: "RELEASE",
    share: 100,
    lifetime: "1s",
  },
  {
    key: "web.image-format",
    description: "Which format pictures are sent in",
    owner: "web",
    tags: ["web", "performance"],
    kind: "OPERATIONAL",
    share: 100,
    variants: { avif: "avif", webp: "webp", jpeg: "jpeg" },
  },
  {
    key: "web.service-worker",
    description: "The shop works without a network",
    owner: "web",
    tags: ["web", "performance"],
    kind: "RELEASE",
    share: 5,
  },
  {
    key: "ops.read-only",
    description: "Nothing is written: for maintenance of the databases",
    owner: "platform",
    tags: ["ops"],
    kind: "OPERATIONAL",
    on: false,
  },
  {
    key: "ops.shed-load",
    description: "Turns expensive parts off when traffic is too much",
    owner: "platform",
    tags: ["ops"],
    kind: "OPERATIONAL",
    on: false,
  },
  {
    key: "ops.queue-workers",
    description: "How many workers take from the queue",
    owner: "platform",
    tags: ["ops", "backend"],
    kind: "OPERATIONAL",
    share: 100,
    variants: { many: 32, normal: 8, few: 2 },
  },
  {
    key: "ops.postgres-replica",
    description: "Reports read from the replica",
    owner: "platform",
    tags: ["ops", "database"],
    kind: "OPERATIONAL",
    share: 100,
  },
  {
    key: "ops.new-index",
    description: "Query plans that use the new index on orders",
    owner: "platform",
    tags: ["database"],
    kind: "RELEASE",
    share: 20,
  },
  {
    key: "api.rate-limit",
    description: "Requests a minute for each customer",
    owner: "platform",
    tags: ["api"],
    kind: "OPERATIONAL",
    share: 100,
    variants: { standard: 600, generous: 3000, strict: 60 },
    rules: [inSegment("enterprise", "generous")],
  },
  {
    key: "api.v3",
    description: "The third version of the public interface",
    owner: "platform",
    tags: ["api"],
    kind: "PERMISSION",
    rules: [inSegment("beta-testers", "on")],
  },
  {
    key: "mail.weekly-digest",
    description: "A letter a week with what is new",
    owner: "growth",
    tags: ["mail"],
    kind: "EXPERIMENT",
    share: 10,
  },
  {
    key: "mail.provider",
    description: "Who delivers our mail",
    owner: "platform",
    tags: ["mail", "ops"],
    kind: "OPERATIONAL",
    share: 100,
    variants: { primary: "primary", fallback: "fallback" },
  },
  {
    key: "fraud.model",
    description: "Which model looks at payments",
    owner: "risk",
    tags: ["ml", "payments"],
    kind: "EXPERIMENT",
    share: 10,
    variants: { "trees-9": "trees-9", "trees-8": "trees-8" },
  },
  {
    key: "fraud.step-up",
    description: "A second factor for payments that look odd",
    owner: "risk",
    tags: ["payments"],
    kind: "OPERATIONAL",
    share: 100,
  },
  {
    key: "assistant.answers",
    description: "Answers from the assistant in the help centre",
    owner: "assistants",
    tags: ["ml"],
    kind: "RELEASE",
    rules: [staff("on")],
    share: 5,
  },
  {
    key: "assistant.model",
    description: "The language model behind the assistant",
    owner: "assistants",
    tags: ["ml"],
    kind: "EXPERIMENT",
    share: 10,
    variants: { "atlas-4": { model: "atlas-4", temperature: 0.2 }, "atlas-3": { model: "atlas-3", temperature: 0.2 } },
  },
  { key: "old-banner", description: "", tags: ["web"], share: 100 },
  { key: "temp-fix-4711", description: "Works around the broken import of last spring", owner: "platform", on: false },
  { key: "loyalty-points", description: "Points for every order", tags: ["checkout"], kind: "RELEASE", on: false },
];

// A flag as the control service takes it.
function flagOf(s: Seed): object {
  const variants = Object.entries(s.variants ?? { on: true, off: false }).map(([name, value]) => ({ name, value }));
  const first = variants[0]?.name ?? "";
  const last = variants.at(-1)?.name ?? "";
  const share = s.share ?? 0;
  const outcome =
    share === 100
      ? { variant: first }
      : share === 0
        ? { variant: last }
        : {
            split: {
              variants: variants.map((v, i) => ({
                variant: v.name,
                weight: i === 0 ? share * 100 : (10_000 - share * 100) / (variants.length - 1),
              })),
            },
          };
  return {
    key: s.key,
    description: s.description,
    owner: s.owner,
    tags: s.tags,
    kind: s.kind && `FLAG_KIND_${s.kind}`,
    type: typeOf(variants[0]?.value),
    enabled: s.on ?? true,
    variants,
    offVariant: last,
    rules: s.rules,
    defaultOutcome: outcome,
    expectedLifetime: s.lifetime,
  };
}

function typeOf(value: unknown): string {
  const type = { boolean: "BOOLEAN", string: "STRING", number: "INTEGER" }[typeof value as string] ?? "OBJECT";
  return `VALUE_TYPE_${type}`;
}

export const flags = seeds.map((s) => ({ owner: s.owner ?? "", flag: flagOf(s) as { key: string } }));

export const segments = [
  {
    key: "beta-testers",
    description: "People who asked to see things first",
    owner: "growth",
    included: ["user-17", "user-23", "user-42", "user-99"],
    excluded: ["user-13"],
    rules: [{ clauses: [{ attribute: "beta", operator: "OPERATOR_IN", values: [true] }] }],
  },
  {
    key: "enterprise",
    description: "Customers with a contract",
    owner: "sales",
    keyAttribute: "company",
    rules: [{ clauses: [{ attribute: "plan", operator: "OPERATOR_IN", values: ["enterprise", "government"] }] }],
  },
  {
    key: "canada",
    description: "Where new things start",
    owner: "growth",
    rules: [{ clauses: [{ attribute: "country", operator: "OPERATOR_IN", values: ["CA"] }] }],
  },
];
