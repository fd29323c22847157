// @vitest-environment jsdom
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { cleanup, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { enter, showForm, textOf, type } from "../../components/form-of-tests";
import { FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { Settings } from "./settings";

function show(flag: MessageInitShape<typeof FlagSchema>) {
  const version = { message: create(FlagSchema, flag), revision: 1n };
  return showForm(flag, (mine, edit) => (
    <Settings
      environment="staging"
      flag={mine}
      version={version}
      edit={edit}
      activity={undefined}
      mayWrite={false}
      onDeleted={() => {}}
    />
  ));
}

const day = 86_400n;

afterEach(cleanup);

it("a lifetime is typed, key by key, where there was none and where there was one", () => {
  const fresh = show({});
  type("Expected lifetime", "30d");
  expect(fresh.draft.mine.expectedLifetime?.seconds).toBe(30n * day);
  type("Expected lifetime", "ays");
  expect(textOf("Expected lifetime")).toBe("30days");
  expect(screen.getByText("Write it such as 12h or 30d.")).toBeTruthy();
  cleanup();

  const shown = show({ expectedLifetime: { seconds: 90n * day } });
  enter("Expected lifetime", "90");
  type("Expected lifetime", "h");
  expect(shown.draft.mine.expectedLifetime?.seconds).toBe(90n * 3600n);
  // What says the same stays as it was typed.
  enter("Expected lifetime", "48h");
  expect(textOf("Expected lifetime")).toBe("48h");
  enter("Expected lifetime", "");
  expect(shown.draft.mine.expectedLifetime).toBeUndefined();
});

it("a number of the metadata is typed key by key, and stays a number", () => {
  const shown = show({ metadata: { budget: 1, name: "7", beta: true } });
  type("Value of budget", ".5");
  expect(textOf("Value of budget")).toBe("1.5");
  expect(shown.draft.mine.metadata).toEqual({ budget: 1.5, name: "7", beta: true });

  enter("Value of budget", "");
  expect(screen.getByText("Must be a number.")).toBeTruthy();
  expect(shown.draft.mine.metadata?.budget).toBe(1.5);
  type("Value of budget", "7");
  expect(screen.queryByText("Must be a number.")).toBeNull();
  expect(shown.draft.mine.metadata?.budget).toBe(7);

  type("Value of name", "5");
  expect(shown.draft.mine.metadata?.name).toBe("75");
  enter("Value of budget", "9007199254740993");
  expect(screen.getByText("Whole numbers beyond 9007199254740991 lose digits.")).toBeTruthy();
  expect(shown.draft.mine.metadata?.budget).toBe(7);
  // Another type, or none: what could not be read is gone.
  enter("Type of budget", "string");
  expect(textOf("Value of budget")).toBe("7");
  expect(screen.queryByText(/lose digits/)).toBeNull();
  enter("Value of beta", "false");
  expect(shown.draft.mine.metadata).toEqual({ budget: "7", name: "75", beta: false });
});
