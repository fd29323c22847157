// FlagTraffic is users of one flag: they are served a variant by the relay, and what becomes of
// them is told to it, over plain HTTP.
export class FlagTraffic {
  private on = true;
  private running: Promise<void>;
  private failure: unknown;

  constructor(
    private readonly relay: string,
    private readonly o: {
      environment: string;
      flagKey: string;
      // The share of each variant's users for whom something happens, by metric.
      happens: Record<string, Record<string, number>>;
      // Users in each tenth of a second.
      users?: number;
    },
  ) {
    this.running = this.run().catch((failure: unknown) => {
      this.failure = failure;
    });
  }

  // From now on it happens to this share of a variant's users.
  set(metric: string, variant: string, share: number) {
    this.o.happens[metric] = { ...this.o.happens[metric], [variant]: share };
  }

  async stop() {
    this.on = false;
    await this.running;
    if (this.failure) throw this.failure;
  }

  private async run() {
    for (let n = 0; this.on; n++) {
      const next = new Promise((r) => setTimeout(r, 100));
      const users = Array.from({ length: this.o.users ?? 30 }, (_, i) => `user-${(n * 7919 + i * 104729) % 50021}`);
      const events = await Promise.all(users.map((u) => this.visit(u)));
      const told = events.filter((e) => e.observations.length > 0);
      if (told.length > 0) await this.call("tidegate.telemetry.v1.TelemetryService/Track", { events: told });
      await next;
    }
  }

  private async visit(user: string) {
    const context = { targetingKey: user };
    const answer = await this.call("tidegate.evaluation.v1.EvaluationService/Evaluate", {
      flagKey: this.o.flagKey,
      context,
    });
    const variant: string = answer.evaluation?.variant ?? answer.variant ?? "";
    const observations = Object.entries(this.o.happens)
      .filter(([, shares]) => Math.random() < (shares[variant] ?? 0))
      .map(([metric]) => ({ metric, happened: true, flagKey: this.o.flagKey }));
    return { context, observations };
  }

  private async call(method: string, request: object) {
    const response = await fetch(`${this.relay}/${method}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ environment: this.o.environment, ...request }),
    });
    if (!response.ok) throw new Error(`${method}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}
