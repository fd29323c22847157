import { expect, type Page } from "@playwright/test";
import type { World } from "./processes";

// Makes a flag as another program would.
export async function make(world: World, key: string) {
  await world.cli(["apply", "-f", "-", "-e", "staging", "--reason", "a test"], manifest(key));
}

export function manifest(key: string): string {
  return `apiVersion: tidegate/v1
flags:
  ${key}:
    owner: web
    type: boolean
    enabled: true
    variants: {"on": true, "off": false}
    offVariant: "off"
    rules:
      - id: canada
        when: [{attribute: country, in: CA}]
        serve:
          split: [{variant: "on", weight: 50}, {variant: "off", weight: 50}]
    default: "off"
`;
}

export async function open(page: Page, world: World, path: string) {
  await page.goto(`${world.url}/staging/${path}`);
  await expect(page.getByText(/^Live/)).toBeVisible();
}

export async function save(page: Page, reason: string) {
  await page.getByRole("button", { name: "Review and save" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByText("The server has checked it.")).toBeVisible();
  await expect(dialog.getByLabel("Why")).toBeFocused();
  await dialog.getByLabel("Why").fill(reason);
  await dialog.getByRole("button", { name: "Save", exact: true }).click();
  await expect(dialog).toBeHidden();
}
