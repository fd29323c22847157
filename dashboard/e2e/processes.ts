import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

// Where the binaries are that `make build` made, and the tools.
const root = resolve(import.meta.dirname, "../..");
const bin = (name: string) => join(process.env.TIDEGATE_BIN ?? join(root, "bin"), name);
export const grpcurl = join(root, ".tmp/bin/grpcurl");

// Each worker has its own ports, one after the other from a place that is its own, too: what has found a
// port free has not taken it yet. They are below those that the system gives to whoever asks for any.
const slice = 11_000;
const begin = 10_000 + (Number(process.env.TEST_PARALLEL_INDEX ?? 0) % 2) * slice;
let given = Math.floor(Math.random() * slice);

export async function freePort(): Promise<number> {
  for (;;) {
    const port = begin + (given++ % slice);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((tell) => {
    const server = createServer();
    server.once("error", () => tell(false));
    server.listen(port, "127.0.0.1", () => server.close(() => tell(true)));
  });
}

export function run(command: string, args: string[], input = "", env: Record<string, string> = {}): Promise<string> {
  return new Promise((done, fail) => {
    const child = execFile(
      command,
      args,
      { env: { ...process.env, ...env }, maxBuffer: 64 << 20 },
      (error, out, err) =>
        error ? fail(new Error(`${command} ${args.join(" ")}: ${err || out || error.message}`)) : done(out),
    );
    child.stdin?.end(input);
  });
}

// A process, with what it said last, for whoever wonders why it ended.
class Process {
  readonly said: string[] = [];
  private constructor(
    readonly name: string,
    readonly child: ChildProcess,
  ) {
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (text: Buffer) => {
        this.said.push(text.toString());
        if (this.said.length > 400) this.said.shift();
      });
  }

  static start(name: string, args: string[], env: Record<string, string> = {}): Process {
    return new Process(
      name,
      spawn(bin(name), args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] }),
    );
  }

  async awaitURL(url: string) {
    const end = Date.now() + 60_000;
    for (;;) {
      if (this.child.exitCode !== null) throw new Error(`${this.name} has ended:\n${this.said.join("")}`);
      const ok = await fetch(url).then(
        (r) => r.ok,
        () => false,
      );
      if (ok) return;
      if (Date.now() > end) throw new Error(`${url} does not answer:\n${this.said.join("")}`);
      await new Promise((r) => setTimeout(r, 50));
    }
  }

  // What it says that is like this.
  async says(like: RegExp): Promise<string> {
    return new Promise((done, fail) => {
      const look = () => {
        const found = like.exec(this.said.join(""))?.[1];
        if (found) done(found);
      };
      for (const stream of [this.child.stdout, this.child.stderr]) stream?.on("data", look);
      this.child.once("exit", () => fail(new Error(`${this.name} has ended:\n${this.said.join("")}`)));
      look();
    });
  }

  // Until it ends by itself, and well.
  async ended() {
    if (this.child.exitCode === null) await new Promise((r) => this.child.once("exit", r));
    if (this.child.exitCode !== 0) throw new Error(`${this.name} failed:\n${this.said.join("")}`);
  }

  async stop(signal: NodeJS.Signals = "SIGTERM") {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((r) => this.child.once("exit", r));
    this.child.kill(signal);
    await ended;
  }
}

type RelayPorts = { relay: number; relayHTTP: number; management: number; flagd: number };

// Somebody with an account. Without a password of their own, they log in through the provider.
export type Person = { name: string; password: string; roles: string[] };

const providerSecret = "secret";

// World is a control server that asks who calls, and a relay: real processes, on ports of their own.
export class World {
  private server?: Process;
  private provider?: Process;
  // The first one is that of `ports`.
  private relays: Process[] = [];
  private ports = { grpc: 0, http: 0, relay: 0, relayHTTP: 0, management: 0, flagd: 0 };
  private dir = mkdtempSync(join(tmpdir(), "tidegate-e2e-"));
  private extra: string[] = [];
  private open = false;

  get url() {
    return `http://127.0.0.1:${this.ports.http}`;
  }

  // Of the server and of the first relay, for gRPC.
  get addresses() {
    return { server: `127.0.0.1:${this.ports.grpc}`, relay: `127.0.0.1:${this.ports.relay}` };
  }

  get relayURL() {
    return `http://127.0.0.1:${this.ports.relayHTTP}`;
  }

  file(name: string, content = ""): string {
    const path = join(this.dir, name);
    if (content) writeFileSync(path, content, { mode: 0o600 });
    return path;
  }

  // Starts both; `open`: nobody is asked who they are; `provider`: these are known to an OpenID
  // provider, a process as well, by the password of the first of them.
  static async start(
    o: { open?: boolean; people?: Person[]; provider?: Person[]; server?: string[] } = {},
  ): Promise<World> {
    const w = new World();
    w.open = !!o.open;
    w.extra = o.server ?? [];
    for (const name of Object.keys(w.ports) as (keyof World["ports"])[]) w.ports[name] = await freePort();
    try {
      if (o.provider) await w.startProvider(o.provider);
      await w.startServer();
      if (!w.open) await w.keepAdministrator();
      for (const p of o.people ?? []) await w.person(p);
      for (const p of o.provider ?? []) await w.person({ ...p, password: "" });
      await w.startRelay("eu-west", w.ports);
    } catch (failed) {
      await w.stop(); // what was started would outlive the tests
      throw failed;
    }
    return w;
  }

  // The provider is a Go module of its own. `make` may have built it; else it is built here.
  private async startProvider(people: Person[]) {
    const module = join(root, "internal/e2e/openid");
    if (!existsSync(bin("openid-provider")))
      await run("go", ["build", "-C", module, "-o", resolve(bin("openid-provider")), "./provider"]);
    const address = `127.0.0.1:${await freePort()}`;
    const redirect = `${this.url}/auth/openid/callback`;
    this.provider = Process.start("openid-provider", [
      `-addr=${address}`,
      `-redirect=${redirect}`,
      `-password=${people[0]?.password}`,
      ...people.map((p) => p.name),
    ]);
    await this.provider.awaitURL(`http://${address}/.well-known/openid-configuration`);
    this.extra.push(
      `--openid-issuer=http://${address}/`,
      "--openid-client-id=web",
      `--openid-client-secret-file=${this.file("provider.secret", providerSecret)}`,
      `--openid-redirect-url=${redirect}`,
    );
  }

  async startServer() {
    this.server = Process.start("tidegate", [
      "server",
      ...(this.open ? ["--open"] : []),
      `--data-dir=${join(this.dir, "data")}`,
      `--grpc-addr=127.0.0.1:${this.ports.grpc}`,
      `--http-addr=127.0.0.1:${this.ports.http}`,
      ...this.extra,
    ]);
    await this.server.awaitURL(`${this.url}/readyz`);
  }

  // The administrator's secret is printed once.
  private async keepAdministrator() {
    const secret = /tgk_[a-z0-9]{12}_[A-Za-z0-9_-]{43}/.exec(this.server?.said.join("") ?? "")?.[0];
    if (!secret) throw new Error(`no administrator's secret:\n${this.server?.said.join("")}`);
    this.file("administrator.key", secret);
  }

  private async person(p: Person) {
    const roles = p.roles.flatMap((r) => ["--role", r]);
    const password = p.password ? ["--password-stdin"] : [];
    await this.cli(["identity", "create", p.name, ...roles, ...password, "--reason", "a test"], p.password);
  }

  // Another relay, of another region. It follows the server, or the first relay.
  async addRelay(region: string, upstream: "server" | "relay" = "server"): Promise<RelayPorts> {
    const ports = { relay: 0, relayHTTP: 0, management: 0, flagd: 0 };
    for (const name of Object.keys(ports) as (keyof RelayPorts)[]) ports[name] = await freePort();
    await this.startRelay(region, ports, upstream === "server" ? this.ports.grpc : this.ports.relay);
    return ports;
  }

  private async startRelay(region: string, ports: RelayPorts, upstream = this.ports.grpc) {
    const id = `relay-${region}-${this.relays.length + 1}`;
    const keyFile = this.open ? "" : this.file(`${id}.key`, await this.key(id, "relay"));
    const relay = Process.start("tidegate-relay", [
      `--upstream=127.0.0.1:${upstream}`,
      "--environments=production,staging,dev",
      `--grpc-addr=127.0.0.1:${ports.relay}`,
      `--http-addr=127.0.0.1:${ports.relayHTTP}`,
      `--management-addr=127.0.0.1:${ports.management}`,
      `--flagd-sync-addr=127.0.0.1:${ports.flagd}`,
      `--instance-id=${id}`,
      `--region=${region}`,
      ...(keyFile ? [`--key-file=${keyFile}`] : []),
    ]);
    this.relays.push(relay);
    await relay.awaitURL(`http://127.0.0.1:${ports.management}/readyz`);
  }

  // Stops the relay that was started last.
  async stopLastRelay(signal: NodeJS.Signals = "SIGTERM") {
    await this.relays.at(-1)?.stop(signal);
  }

  async key(name: string, role: string): Promise<string> {
    const made = await this.cli([
      "key",
      "create",
      name,
      "--role",
      role,
      "-e",
      "production,staging,dev",
      "--reason",
      "a test",
    ]);
    return /tgk_\S+/.exec(made)?.[0] ?? "";
  }

  // The command line, as the administrator.
  cli(args: string[], input = ""): Promise<string> {
    const env: Record<string, string> = { TIDEGATE_SERVER: `127.0.0.1:${this.ports.grpc}` };
    if (!this.open) env.TIDEGATE_KEY_FILE = join(this.dir, "administrator.key");
    return run(bin("tidegate"), args, input, env);
  }

  // What somebody types into a terminal, as the administrator.
  shell(script: string): Promise<string> {
    const tools = [bin("tidegate"), grpcurl].map((file) => dirname(file));
    return run("bash", ["-ec", script], "", {
      PATH: [...tools, process.env.PATH].join(":"),
      TIDEGATE_KEY_FILE: join(this.dir, "administrator.key"),
    });
  }

  // The command line of somebody who logs in through the provider: `browse` opens what it says.
  async personalCLI(p: Person, browse: (url: string) => Promise<void>): Promise<(args: string[]) => Promise<string>> {
    const env = {
      TIDEGATE_SERVER: `127.0.0.1:${this.ports.grpc}`,
      XDG_CONFIG_HOME: mkdtempSync(join(this.dir, `${p.name}-`)),
    };
    const login = Process.start("tidegate", ["login", "--openid"], env);
    await browse(await login.says(/^\s+(http:\/\/\S+)$/m));
    await login.ended();
    return (args) => run(bin("tidegate"), args, "", env);
  }

  // What the relay answers somebody, by grpcurl.
  async evaluate(flagKey: string, context: { targetingKey: string; attributes?: object }, environment = "production") {
    const request = JSON.stringify({ environment, flagKey, context });
    const out = await run(grpcurl, [
      "-plaintext",
      "-d",
      request,
      `127.0.0.1:${this.ports.relay}`,
      "tidegate.evaluation.v1.EvaluationService/Evaluate",
    ]);
    return JSON.parse(out);
  }

  async stopServer(signal: NodeJS.Signals = "SIGTERM") {
    await this.server?.stop(signal);
  }

  async stop() {
    for (const relay of this.relays) await relay.stop();
    await this.server?.stop();
    await this.provider?.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
