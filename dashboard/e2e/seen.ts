import { expect, type Page, type TestInfo } from "@playwright/test";

// How long a page may take to show what was saved in another one. Tests do not depend on speed:
// SEEN_WITHIN=1000 asks for the second that is promised, on a machine with nothing else to do.
const deadline = Number(process.env.SEEN_WITHIN ?? 15_000);

type Watching = { tidegateSeen?: Promise<number> };

// Clocks takes down when pages show what was saved in another one, each by the clock of the
// machine that they share.
export class Clocks {
  readonly times: { what: string; ms: number }[] = [];

  constructor(
    private readonly saver: Page,
    private readonly info: TestInfo,
  ) {}

  // Does something that ends in a call of a method, and waits until the other page shows a text
  // in what a selector finds. The time is that from the answer to the call.
  async seen(what: string, method: string, other: Page, selector: string, text: string, save: () => Promise<void>) {
    await watchFor(other, selector, text);
    await save();
    this.note(what, (await whenSeen(other)) - (await answeredAt(this.saver, method)));
  }

  // Waits until both pages show a text that nobody saved.
  async both(what: string, other: Page, selector: string, text: string, cause: () => void) {
    await watchFor(this.saver, selector, text);
    await watchFor(other, selector, text);
    cause();
    const first = await whenSeen(this.saver, 90_000);
    this.note(what, (await whenSeen(other)) - first);
  }

  private note(what: string, ms: number) {
    this.times.push({ what, ms });
    const description = `${what}: ${ms.toFixed(0)} ms`;
    this.info.annotations.push({ type: "seen in the other browser", description });
    process.stdout.write(`seen in the other browser, ${description}\n`);
    expect(ms, what).toBeLessThan(deadline);
  }
}

async function watchFor(page: Page, selector: string, text: string) {
  await page.evaluate(
    ([selector, text]) => {
      const there = () =>
        [...document.querySelectorAll(selector)].some((e) => e.textContent?.replace(/\s+/g, " ").includes(text));
      if (there()) throw new Error(`${selector} says “${text}” already`);
      (window as Watching).tidegateSeen = new Promise((seen) => {
        const observer = new MutationObserver(() => {
          if (!there()) return;
          observer.disconnect();
          seen(performance.timeOrigin + performance.now());
        });
        observer.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
      });
    },
    [selector, text] as const,
  );
}

async function whenSeen(page: Page, atMost = 15_000): Promise<number> {
  return page.evaluate(
    (atMost) =>
      Promise.race([
        (window as Watching).tidegateSeen ?? Promise.reject(new Error("nobody watches")),
        new Promise<number>((_, fail) => setTimeout(() => fail(new Error("it is not shown")), atMost)),
      ]),
    atMost,
  );
}

// When the last call of a method was answered.
async function answeredAt(page: Page, method: string): Promise<number> {
  return page.evaluate((method) => {
    const call = performance.getEntriesByType("resource").findLast((e) => e.name.endsWith(method));
    if (!call) throw new Error(`${method} was not called`);
    return performance.timeOrigin + (call as PerformanceResourceTiming).responseEnd;
  }, method);
}
