// @vitest-environment jsdom
import { create } from "@bufbuild/protobuf";
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { FlagSummarySchema } from "../../gen/tidegate/control/v1/watch_service_pb";
import { FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";
import { modalDialogs } from "../../lib/modal-dialogs";
import { SwitchDialog } from "./switch-dialog";

const fileSources = vi.hoisted(() => [{ name: "web", location: "git.example.com/flags", keyPrefixes: ["web."] }]);
vi.mock("../../api/transport", () => ({ flags: {} }));
vi.mock("../../api/use-live", () => ({ useLiveStore: () => ({}) }));
vi.mock("../../api/use-freeze", () => ({ useFreeze: () => undefined }));
vi.mock("../../components/toast", () => ({ useToast: () => () => {} }));
vi.mock("../../api/use-environment", () => ({ useSettings: () => ({ data: { settings: { fileSources } } }) }));

beforeEach(() => {
  modalDialogs();
});
afterEach(cleanup);

const warning = "This flag is kept in files: you can turn it on again only there.";

// What the server refuses: to turn on what files keep, unless it is operational.
it.each([
  { key: "web.a", kind: FlagKind.RELEASE, on: false, why: true, warns: true },
  { key: "web.a", kind: FlagKind.RELEASE, on: true, why: false, warns: false },
  { key: "web.a", kind: FlagKind.OPERATIONAL, on: false, why: true, warns: false },
  { key: "web.a", kind: FlagKind.OPERATIONAL, on: true, why: true, warns: false },
  { key: "api.a", kind: FlagKind.RELEASE, on: false, why: true, warns: false },
  { key: "api.a", kind: FlagKind.RELEASE, on: true, why: true, warns: false },
])("$key of kind $kind, on: $on", ({ key, kind, on, why, warns }) => {
  const flag = create(FlagSummarySchema, { key, kind, enabled: !on });
  render(<SwitchDialog flag={flag} on={on} environment="dev" onClose={() => {}} />);
  expect(screen.queryByLabelText("Why") !== null).toBe(why);
  expect(screen.queryByText(warning) !== null).toBe(warns);
  expect(screen.queryByText("git.example.com/flags") !== null).toBe(!why);
});
