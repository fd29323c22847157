// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { useState } from "react";
import { afterEach, expect, it } from "vitest";
import { FormProvider } from "../../components/draft";
import { KeyList } from "./key-list";

afterEach(cleanup);

let keys: string[] = [];

function List({ first }: { first: string[] }) {
  const [now, setKeys] = useState(first);
  keys = now;
  return (
    <FormProvider value={{ disabled: false, texts: {}, setText: () => {}, moveTexts: () => {}, problems: new Map() }}>
      <KeyList title="Belong" hint="" keys={now} saved={first} change={setKeys} />
    </FormProvider>
  );
}

// Looked for one by one among each other, they take longer than a test may.
it("what is found among very many keys is removed", async () => {
  const all = Array.from({ length: 120_000 }, (_, i) => (i % 2 === 0 ? `beta-${i}` : `user-${i}`));
  render(<List first={all} />);
  fireEvent.change(screen.getByLabelText("Search in Belong"), { target: { value: "BETA" } });
  fireEvent.click(await screen.findByText("Remove the 60,000 keys found"));
  expect(keys).toHaveLength(60_000);
  expect(keys.every((k) => k.startsWith("user-"))).toBe(true);
  fireEvent.change(screen.getByLabelText("Search in Belong"), { target: { value: "" } });
  fireEvent.click(await screen.findByText("Remove all"));
  expect(keys).toEqual([]);
});
