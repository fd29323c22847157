import type { Person, World } from "./processes";

// Caller is somebody who is logged in, and calls the services as the page does: the audit trail
// has their name.
export class Caller {
  private constructor(
    private world: World,
    private cookie: string,
  ) {}

  static async logIn(world: World, person: Person): Promise<Caller> {
    const response = await fetch(`${world.url}/auth/login`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: person.name, password: person.password }),
    });
    if (!response.ok) throw new Error(`${person.name} cannot log in: ${await response.text()}`);
    const cookie = response.headers
      .getSetCookie()
      .map((c) => c.split(";")[0])
      .join("; ");
    return new Caller(world, cookie);
  }

  // Whether the server has a method.
  async has(method: string): Promise<boolean> {
    const response = await this.post(method, {});
    await response.text();
    return response.status !== 404 && response.status !== 405;
  }

  // Calls a method with JSON, such as "FlagService/CreateFlag".
  // biome-ignore lint/suspicious/noExplicitAny: answers are of any form
  async call(method: string, request: object): Promise<any> {
    const response = await this.post(method, request);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method}: ${text}`);
    return JSON.parse(text);
  }

  private post(method: string, request: object): Promise<Response> {
    return fetch(`${this.world.url}/tidegate.control.v1.${method}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Cookie: this.cookie, Origin: this.world.url },
      body: JSON.stringify(request),
    });
  }
}
