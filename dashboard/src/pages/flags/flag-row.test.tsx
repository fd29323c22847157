// @vitest-environment jsdom
import { create } from "@bufbuild/protobuf";
import { render } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import {
  type FlagActivity,
  FlagActivitySchema,
  FlagSummarySchema,
} from "../../gen/tidegate/control/v1/watch_service_pb";
import { FlagRow } from "./flag-row";

vi.mock("../../api/transport", () => ({}));

const row = (activity: FlagActivity | undefined) =>
  render(
    <FlagRow
      flag={create(FlagSummarySchema, { key: "search", description: "d", owner: "web" })}
      activity={activity}
      environment="staging"
      top={0}
      index={0}
      busy={false}
      onSwitch={() => {}}
      no={undefined}
    />,
  ).container;

test("what became of a flag is not told before it is known", () => {
  const unknown = row(undefined);
  expect(unknown.querySelectorAll("[title='Not known yet']")).toHaveLength(2);
  expect(unknown.textContent).not.toMatch(/never|none/);
  expect(row(create(FlagActivitySchema, { flagKey: "search" })).textContent).toMatch(/none.*never/);
});
