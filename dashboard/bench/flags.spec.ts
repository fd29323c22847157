import { type Browser, type BrowserContext, type Page, test } from "@playwright/test";
import { ada, logIn } from "../e2e/fixtures";
import { World } from "../e2e/processes";
import { serveFloor } from "./floor";
import { fill, many, manyFlags } from "./many-flags";
import { type Cost, listen, median, open, press, type Sight } from "./watch";

const runs = Number(process.env.RUNS ?? 7);
const all = many.toLocaleString("en");
const one = manyFlags()[0]?.key ?? "";
// Of the list, which is in the order of keys.
const first = manyFlags()
  .map((f) => f.key)
  .sort()[0] as string;
const word = "semantic";

type Row = { name: string; costs: Cost[]; keys: number[] };

// How many flags each beginning of the word finds, where that is another number than before.
function finds(): { key: string; count?: number }[] {
  const texts = manyFlags().map((f) => [f.key, f.description, f.owner, ...(f.tags ?? [])].join("\n").toLowerCase());
  let last = many;
  return [...word].map((key, i) => {
    const count = texts.filter((t) => t.includes(word.slice(0, i + 1))).length;
    const other = count !== last;
    last = count;
    return other ? { key, count } : { key };
  });
}

// Types the word; how long each letter took that changed something.
async function type(page: Page, count: (n: number) => [string, string]): Promise<number[]> {
  const took: number[] = [];
  for (const { key, count: n } of finds())
    if (n === undefined) await page.keyboard.press(key);
    else took.push(await press(page, key, ...count(n)));
  return took;
}

test("what a page of 10,000 flags costs", async ({ browser }) => {
  const world = await World.start({ people: [ada] });
  const floor = await serveFloor();
  try {
    await fill(world);
    const storageState = await loggedIn(browser, world);
    const rows = new Map<string, Row>();
    const note = (name: string, cost: Cost, keys: number[] = []) => {
      const row = rows.get(name) ?? { name, costs: [], keys: [] };
      row.costs.push(cost);
      row.keys.push(...keys);
      rows.set(name, row);
    };
    for (let run = 0; run < runs; run++) {
      // Nothing is in this one's cache.
      const context = await browser.newContext({ storageState });
      await listen(context);
      const page = await context.newPage();
      const cold = await open(page, `${world.url}/production/flags`, rowOf(first), whole);
      await page.keyboard.press("/");
      note("the list of flags", cold, await type(page, (n) => [".page-head .soft", `${n} of ${all} flags`]));
      await page.close();
      note("the list again", await once(context, `${world.url}/production/flags`, rowOf(first), whole));
      const rules = await context.newPage();
      const opened = await open(rules, `${world.url}/production/flags/${one}`, [".serves", "Serves"]);
      note("one flag, its rules", opened, await typeId(rules));
      await rules.close();
      note("one flag, tried", await once(context, `${world.url}/production/flags/${one}?tab=try`, [".steps", ""]));
      note("environments compared", await compare(context, world.url));
      await context.close();
      const bare = await browser.newContext();
      await listen(bare);
      const plain = await bare.newPage();
      const cost = await open(plain, `${floor.url}/list`, ["#count", `${many} found`]);
      await plain.locator("input").focus();
      note("floor: one list of HTML", cost, await type(plain, (n) => ["#count", `${n} found`]));
      await plain.close();
      note("floor: an empty page", await once(bare, `${floor.url}/empty`, ["#count", "0 found"]));
      await bare.close();
    }
    process.stdout.write(table([...rows.values()]));
  } finally {
    floor.server.close();
    await world.stop();
  }
});

const rowOf = (key: string): Sight => [".flag .name", key];
const whole: Sight = [".page-head .soft", `${all} flags, `];

async function loggedIn(browser: Browser, world: World) {
  const context = await browser.newContext();
  await logIn(await context.newPage(), world, ada);
  const state = await context.storageState();
  await context.close();
  return state;
}

async function once(context: BrowserContext, url: string, ...sights: [usable: Sight, whole?: Sight]): Promise<Cost> {
  const page = await context.newPage();
  const cost = await open(page, url, ...sights);
  await page.close();
  return cost;
}

// Types the id of a new rule.
async function typeId(page: Page): Promise<number[]> {
  await page.getByRole("button", { name: "Add a rule" }).click();
  await page.getByLabel("Id").fill("");
  const took: number[] = [];
  for (let n = 1; n <= 8; n++) took.push(await press(page, "q", ".rule-open strong", "q".repeat(n)));
  return took;
}

async function compare(context: BrowserContext, url: string): Promise<Cost> {
  return once(context, `${url}/production/environments/compare?with=production,staging&all=1`, [".line button", first]);
}

function table(rows: Row[]): string {
  const of = (row: Row, what: keyof Cost, digits = 0) => median(row.costs.map((c) => c[what])).toFixed(digits);
  const kib = (row: Row, what: keyof Cost) => (median(row.costs.map((c) => c[what])) / 1024).toFixed(0);
  const keys = (row: Row) =>
    row.keys.length === 0 ? "- | -" : `${median(row.keys).toFixed(0)} | ${Math.max(...row.keys).toFixed(0)}`;
  const lines = rows.map(
    (r) =>
      `| ${r.name} | ${of(r, "usable")} | ${of(r, "whole")} | ${keys(r)} | ${of(r, "requests")} | ${kib(r, "bytes")} | ${of(r, "scripting")} | ${of(r, "tasks")} | ${kib(r, "heap")} |`,
  );
  return `| page | usable after, ms | all there after, ms | a key of a search, ms | at worst | requests | KiB received | scripts, ms | main thread, ms | JS heap, KiB |
|---|---|---|---|---|---|---|---|---|---|
${lines.join("\n")}
`;
}
