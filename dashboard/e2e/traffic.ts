import { grpcurl, run } from "./processes";

// How often a user who is served a variant of a flag fails, and what they wait.
export type Behaviour = {
  flagKey: string;
  metric: string;
  // By variant; what is not here fails as `usual`.
  failing: Record<string, number>;
};

const usual = 0.02;
const people = 20_000;
const perRound = 60;
const pause = 250;

// Traffic is users of a shop who ask a relay for flags, and what becomes of them.
export class Traffic {
  private stopped = false;
  private running: Promise<void>;
  private events: object[] = [];

  constructor(
    private o: {
      relayHTTP: string;
      relayGRPC: string;
      environment: string;
      // All that users ask for; each round some of them.
      flagKeys: string[];
      behaviours: Behaviour[];
    },
  ) {
    this.running = Promise.all([this.browse(), this.report()]).then(() => undefined);
    // Who stops it is told.
    this.running.catch(() => {
      this.stopped = true;
    });
  }

  async stop() {
    this.stopped = true;
    await this.running;
  }

  private async browse() {
    while (!this.stopped) {
      await Promise.all(Array.from({ length: perRound }, () => this.visit()));
      await new Promise((r) => setTimeout(r, pause));
    }
  }

  private async visit() {
    const n = Math.floor(Math.random() * people);
    const context = {
      targetingKey: `user-${n}`,
      attributes: { country: ["CA", "US", "DE", "FR"][n % 4], plan: n % 11 === 0 ? "enterprise" : "free" },
    };
    // What is watched is asked for each time, of the rest what a page needs.
    const others = this.o.flagKeys.filter((_, i) => Math.random() < 0.5 / (1 + (i % 7)));
    const flagKeys = [...new Set([...this.o.behaviours.map((b) => b.flagKey), ...others])];
    const response = await fetch(`http://${this.o.relayHTTP}/tidegate.evaluation.v1.EvaluationService/EvaluateAll`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ environment: this.o.environment, flagKeys, context }),
    }).catch(() => undefined);
    if (!response?.ok) return;
    const { evaluations } = (await response.json()) as { evaluations?: { flagKey: string; variant?: string }[] };
    const observations = this.o.behaviours.map((b) => {
      const variant = evaluations?.find((e) => e.flagKey === b.flagKey)?.variant ?? "";
      return { metric: b.metric, happened: Math.random() < (b.failing[variant] ?? usual) };
    });
    if (observations.length > 0) this.events.push({ context, observations });
  }

  private async report() {
    while (!this.stopped) {
      const events = this.events.splice(0, 900);
      if (events.length > 0) {
        const request = JSON.stringify({ environment: this.o.environment, events });
        const method = "tidegate.telemetry.v1.TelemetryService/Track";
        await run(grpcurl, ["-plaintext", "-d", "@", this.o.relayGRPC, method], request);
      }
      await new Promise((r) => setTimeout(r, pause));
    }
  }
}
