import { test as base, type Cookie, expect, type Page } from "@playwright/test";
import { type Person, World } from "./processes";

export const ada: Person = {
  name: "ada@example.com",
  password: "correct horse battery staple",
  roles: ["administrator"],
};
export const ben: Person = { name: "ben@example.com", password: "tide waits for nobody at all", roles: ["operator"] };
export const eve: Person = { name: "eve@example.com", password: "only here to look around today", roles: ["viewer"] };

// Each file of tests has a world of its own.
export const test = base.extend<object, { world: World }>({
  world: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads it
    async ({}, use) => {
      const world = await World.start({ people: [ada, ben, eve] });
      await use(world);
      await world.stop();
    },
    { scope: "worker", timeout: 120_000 },
  ],
});

export { expect };

// Who has logged in in a world, by name: how often one may is limited.
const sessions = new WeakMap<World, Map<string, Cookie[]>>();

// Where it is narrow, the menu is folded away.
export async function logIn(page: Page, world: World, person: Person, narrow = false) {
  const known = sessions.get(world) ?? new Map<string, Cookie[]>();
  sessions.set(world, known);
  await page.context().addCookies(known.get(person.name) ?? []);
  await page.goto(world.url);
  const inside = narrow
    ? page.getByRole("button", { name: "Menu", exact: true })
    : page.getByRole("navigation", { name: "Pages" });
  const name = page.getByLabel("E-mail address");
  await expect(inside.or(name)).toBeVisible();
  if (await name.isVisible()) {
    await name.fill(person.name);
    await page.getByLabel("Password").fill(person.password);
    await page.getByRole("button", { name: "Log in" }).click();
    await expect(inside).toBeVisible();
  }
  known.set(person.name, await page.context().cookies());
}
