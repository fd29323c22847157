// @vitest-environment jsdom
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { useState } from "react";
import { afterEach, expect, it } from "vitest";
import { FormProvider } from "../../components/draft";
import { type Flag, FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { edited, type Kind, startDraft, withText } from "../../lib/draft";
import { Settings } from "./settings";

const kind: Kind<typeof FlagSchema> = { schema: FlagSchema, shape: { kind: "whole" } };
let now: Flag;

// The page's form, without the page.
function Form({ first }: { first: Flag }) {
  const [draft, setDraft] = useState(() => startDraft(kind, first, 1n));
  now = draft.mine;
  return (
    <FormProvider
      value={{
        disabled: false,
        texts: draft.texts,
        setText: (path, text) => setDraft((d) => withText(d, path, text)),
        moveTexts: () => {},
        problems: new Map(),
      }}
    >
      <Settings
        environment="staging"
        flag={draft.mine}
        version={{ message: first, revision: 1n }}
        edit={(how) => setDraft((d) => edited(kind, d, how))}
        activity={undefined}
        mayWrite={false}
        onDeleted={() => {}}
      />
    </FormProvider>
  );
}

function show(flag: MessageInitShape<typeof FlagSchema>) {
  render(<Form first={create(FlagSchema, flag)} />);
}

// As keys are pressed: one after the other, at the end.
function type(label: string, keys: string) {
  for (const key of keys) {
    const input = screen.getByLabelText<HTMLInputElement>(label);
    fireEvent.change(input, { target: { value: input.value + key } });
  }
}

const textOf = (label: string) => screen.getByLabelText<HTMLInputElement>(label).value;
const day = 86_400n;

afterEach(cleanup);

it("a lifetime is typed, key by key, where there was none and where there was one", () => {
  show({});
  type("Expected lifetime", "30d");
  expect(now.expectedLifetime?.seconds).toBe(30n * day);
  type("Expected lifetime", "ays");
  expect(textOf("Expected lifetime")).toBe("30days");
  expect(screen.getByText("Write it such as 12h or 30d.")).toBeTruthy();
  cleanup();

  show({ expectedLifetime: { seconds: 90n * day } });
  fireEvent.change(screen.getByLabelText("Expected lifetime"), { target: { value: "90" } });
  type("Expected lifetime", "h");
  expect(now.expectedLifetime?.seconds).toBe(90n * 3600n);
  // What says the same stays as it was typed.
  fireEvent.change(screen.getByLabelText("Expected lifetime"), { target: { value: "48h" } });
  expect(textOf("Expected lifetime")).toBe("48h");
  fireEvent.change(screen.getByLabelText("Expected lifetime"), { target: { value: "" } });
  expect(now.expectedLifetime).toBeUndefined();
});

it("a number of the metadata is typed key by key, and stays a number", () => {
  show({ metadata: { budget: 1, name: "7", beta: true } });
  type("Value of budget", ".5");
  expect(textOf("Value of budget")).toBe("1.5");
  expect(now.metadata).toEqual({ budget: 1.5, name: "7", beta: true });

  fireEvent.change(screen.getByLabelText("Value of budget"), { target: { value: "" } });
  expect(screen.getByText("Must be a number.")).toBeTruthy();
  expect(now.metadata?.budget).toBe(1.5);
  type("Value of budget", "7");
  expect(screen.queryByText("Must be a number.")).toBeNull();
  expect(now.metadata?.budget).toBe(7);

  type("Value of name", "5");
  expect(now.metadata?.name).toBe("75");
  fireEvent.change(screen.getByLabelText("Value of budget"), { target: { value: "9007199254740993" } });
  expect(screen.getByText("Whole numbers beyond 9007199254740991 lose digits.")).toBeTruthy();
  expect(now.metadata?.budget).toBe(7);
  // Another type, or none: what could not be read is gone.
  fireEvent.change(screen.getByLabelText("Type of budget"), { target: { value: "string" } });
  expect(textOf("Value of budget")).toBe("7");
  expect(screen.queryByText(/lose digits/)).toBeNull();
  fireEvent.change(screen.getByLabelText("Value of beta"), { target: { value: "false" } });
  expect(now.metadata).toEqual({ budget: "7", name: "75", beta: false });
});
