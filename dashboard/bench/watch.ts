import type { BrowserContext, CDPSession, Page } from "@playwright/test";

// What the page says of itself, by its own clock in ms.
type Told = {
  // Resolves when something that begins with a text is rendered: with when that was.
  until: (selector: string, text: string) => Promise<number>;
  // When the last key was pressed.
  key: number;
};

declare global {
  interface Window {
    told: Told;
  }
}

// Has every page of a context say when something is rendered.
export async function listen(context: BrowserContext) {
  await context.addInitScript(() => {
    const there = (selector: string, text: string) =>
      [...document.querySelectorAll(selector)].some((e) => e.textContent?.startsWith(text));
    window.told = {
      key: 0,
      until: (selector, text) =>
        new Promise((resolve) => {
          // Rendered: the frame after that in which it came has begun.
          const rendered = () => requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
          if (there(selector, text)) return rendered();
          const observer = new MutationObserver(() => {
            if (!there(selector, text)) return;
            observer.disconnect();
            rendered();
          });
          observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
        }),
    };
    window.addEventListener(
      "keydown",
      (e) => {
        window.told.key = e.timeStamp;
      },
      true,
    );
  });
}

// Times are in ms after the navigation began: when the page could be used, and when all of it had
// come, until when the rest was spent.
export type Cost = {
  usable: number;
  whole: number;
  scripting: number;
  tasks: number;
  requests: number;
  bytes: number;
  heap: number;
};

// What is rendered: an element, and how its text begins.
export type Sight = readonly [selector: string, text: string];

// Opens an address and waits until something is rendered that can be used, and something that shows
// that all has come; what that took.
export async function open(page: Page, url: string, usableAt: Sight, wholeAt: Sight = usableAt): Promise<Cost> {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Performance.enable");
  const requests = new Set<string>();
  let bytes = 0;
  session.on("Network.requestWillBeSent", (e) => requests.add(e.requestId));
  session.on("Network.responseReceived", (e) => {
    bytes += e.response.encodedDataLength;
  });
  // What is in the cache is not transferred.
  session.on("Network.dataReceived", (e) => {
    bytes += e.encodedDataLength;
  });
  await page.goto(url, { waitUntil: "commit" });
  const [usable, whole] = await page.evaluate(
    (sights) => Promise.all(sights.map(([selector, text]) => window.told.until(selector, text))),
    [usableAt, wholeAt],
  );
  const { scripting, tasks, heap } = await metrics(session);
  return { usable: usable ?? 0, whole: whole ?? 0, scripting, tasks, heap, requests: requests.size, bytes };
}

async function metrics(session: CDPSession) {
  const { metrics } = await session.send("Performance.getMetrics");
  const of = (name: string) => metrics.find((m) => m.name === name)?.value ?? 0;
  return { scripting: of("ScriptDuration") * 1000, tasks: of("TaskDuration") * 1000, heap: of("JSHeapUsedSize") };
}

// Presses a key and waits until what it brings is rendered; how many ms that took.
export async function press(page: Page, key: string, selector: string, text: string): Promise<number> {
  const seen = page.evaluate(([s, t]) => window.told.until(s, t), [selector, text] as const);
  await page.keyboard.press(key);
  return (await seen) - (await page.evaluate(() => window.told.key));
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[Math.floor((sorted.length - 1) / 2)] ?? 0) + (sorted[Math.floor(sorted.length / 2)] ?? 0)) / 2;
}
