// @vitest-environment jsdom
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { modalDialogs } from "../../lib/modal-dialogs";
import { PromoteDialog } from "./promote-dialog";

type Asked = { keys: string[]; validateOnly?: boolean; baseRevision?: bigint };
type Answer = { currentRevision: bigint; created: number; updated: number; deleted: number };

const server = vi.hoisted(() => ({
  promoteEnvironment: vi.fn<(asked: Asked) => Promise<unknown>>(),
}));
const said = vi.hoisted(() => vi.fn());
vi.mock("../../api/transport", () => ({ environments: server }));
vi.mock("../../components/toast", () => ({ useToast: () => said }));
vi.mock("../../api/use-environment", () => ({ useSettings: () => ({ data: { settings: {} } }) }));

const plan = (currentRevision: bigint): Answer & { results: []; drifts: [] } => ({
  currentRevision,
  created: 2,
  updated: 1,
  deleted: 0,
  results: [],
  drifts: [],
});
// Previews that are not answered yet.
let waiting: { asked: Asked; answer: (a: Answer) => void; fail: () => void }[] = [];
let written: Asked[] = [];

beforeEach(() => {
  modalDialogs();
  [waiting, written] = [[], []];
  server.promoteEnvironment.mockImplementation((asked) => {
    if (asked.validateOnly)
      return new Promise((answer, fail) => waiting.push({ asked, answer, fail: () => fail(new Error("gone")) }));
    written.push(asked);
    return Promise.resolve({ revision: 0n });
  });
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <PromoteDialog names={["dev", "staging"]} from="dev" to="staging" onClose={() => {}} />
    </QueryClientProvider>,
  );
  fireEvent.change(screen.getByLabelText("Why"), { target: { value: "a test" } });
});
afterEach(cleanup);

const button = () => screen.getByText<HTMLButtonElement>("Promote");
const submit = () => fireEvent.submit(button());

it("nothing is written that was not shown", async () => {
  expect(button().disabled).toBe(true);
  submit();
  await waitFor(() => expect(waiting).toHaveLength(1));
  waiting[0]?.answer(plan(7n));
  await waitFor(() => expect(button().disabled).toBe(false));

  // Others are asked for: what was shown says nothing of them.
  fireEvent.change(screen.getByLabelText("Only these keys (optional)"), { target: { value: "checkout" } });
  expect(button().disabled).toBe(true);
  submit();
  await waitFor(() => expect(waiting).toHaveLength(2));
  waiting[1]?.fail();
  await screen.findByText("Try again");
  expect(button().disabled).toBe(true);
  submit();
  expect(written).toEqual([]);

  fireEvent.click(screen.getByText("Try again"));
  await waitFor(() => expect(waiting).toHaveLength(3));
  waiting[2]?.answer(plan(9n));
  await waitFor(() => expect(button().disabled).toBe(false));
  submit();
  await waitFor(() => expect(said).toHaveBeenCalled());
  expect(written).toMatchObject([{ keys: ["checkout"], baseRevision: 9n }]);
  render(said.mock.calls[0]?.[1]);
  expect(screen.getByText("Promoted from dev to staging: 2 new, 1 changed, 0 deleted")).toBeTruthy();
});
