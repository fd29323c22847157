import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { RolloutSummarySchema } from "../../gen/tidegate/control/v1/watch_service_pb";
import { State, Strategy } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { filterRollouts, noQuery, type RolloutQuery, readQuery, writeQuery } from "./filter";

const one = (
  key: string,
  state: State,
  minute: number,
  more: { strategy?: Strategy; successMetric?: string; owner?: string } = {},
) =>
  create(RolloutSummarySchema, {
    key,
    flagKey: key.split("-")[0],
    status: {
      state,
      startedAt: timestampFromMs(minute * 60_000),
      endedAt: state > State.PAUSED ? timestampFromMs((minute + 10) * 60_000) : undefined,
    },
    ...more,
  });

const all = [
  one("cart-1", State.ROLLED_BACK, 1),
  one("cart-2", State.RUNNING, 5),
  one("menu-1", State.PAUSED, 7, { successMetric: "orders" }),
  one("price-1", State.COMPLETED, 3, { strategy: Strategy.EXPERIMENT, owner: "billing" }),
];
const owners: Record<string, string> = { cart: "shop", menu: "kitchen" };

function keys(change: Partial<RolloutQuery>, experiments = false) {
  const f = filterRollouts(all, { ...noQuery, ...change }, experiments, (r) => r.owner || (owners[r.flagKey] ?? ""));
  return [f.active.map((r) => r.key), f.over.map((r) => r.key)];
}

test("what is under way comes first, the newest first", () => {
  expect(keys({})).toEqual([
    ["menu-1", "cart-2"],
    ["price-1", "cart-1"],
  ]);
});

test("a list is of those that are asked for", () => {
  expect(keys({ state: "active" })).toEqual([["menu-1", "cart-2"], []]);
  expect(keys({ state: "rolled-back" })).toEqual([[], ["cart-1"]]);
  expect(keys({ flag: "cart" })).toEqual([["cart-2"], ["cart-1"]]);
  expect(keys({ owner: "kitchen" })).toEqual([["menu-1"], []]);
  expect(keys({ owner: "billing" })).toEqual([[], ["price-1"]]);
  expect(keys({ text: "PRICE" })).toEqual([[], ["price-1"]]);
});

test("an experiment is what has something to prove", () => {
  expect(keys({}, true)).toEqual([["menu-1"], ["price-1"]]);
});

test("a query survives its address", () => {
  const q: RolloutQuery = { text: "a b", state: "paused", flag: "cart", owner: "shop" };
  expect(readQuery(writeQuery(q))).toEqual(q);
  expect(readQuery("state=nonsense")).toEqual(noQuery);
});
