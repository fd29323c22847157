import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { SeriesPointSchema } from "../gen/tidegate/control/v1/rollout_series_pb";
import { AssessmentSchema, Comparison, Standing } from "../gen/tidegate/rollout/v1/decision_pb";
import { asOf, guardrailBand, orderly, range, ratioSplits, stepMarkers, thinned } from "./series";

const point = (s: number, step: number, weight: number, estimate?: number, upper?: number) =>
  create(SeriesPointSchema, {
    time: timestampFromMs(s * 1000),
    step: BigInt(step),
    weight,
    guardrails: [{ estimate, lower: estimate && estimate / 2, upper, limit: 1.5, promotionLimit: 3 }],
  });

test("points that come again, or late, are each there once and in order", () => {
  const newer = point(2, 1, 100, 1.2);
  const all = orderly([point(1, 1, 100), point(2, 1, 100, 9), point(3, 2, 500), point(1, 1, 100), newer]);
  expect(all.map((p) => Number(p.time?.seconds))).toEqual([1, 2, 3]);
  expect(all[1]).toBe(newer);
});

test("what is not known is a gap, not a 0", () => {
  const band = guardrailBand([point(1, 1, 100), point(2, 1, 100, 1.2, 2)], 0);
  expect(band).toEqual({
    times: [1, 2],
    estimate: [null, expect.closeTo(1.2)],
    lower: [null, expect.closeTo(0.6)],
    upper: [null, 2],
    limit: [1.5, 1.5],
    promotion: [3, 3],
  });
});

test("each step has a mark where it begins", () => {
  const points = [point(1, 1, 100), point(2, 1, 100), point(3, 2, 500)];
  expect(stepMarkers(points, String)).toEqual([
    { time: 1, label: "100" },
    { time: 3, label: "500" },
  ]);
});

test("a scale holds the margins, and does not change with each point", () => {
  const band = (upper: number) => guardrailBand([point(1, 1, 100, 1.2, upper)], 0);
  expect(range(band(2), Comparison.RATIO)).toEqual([0.2, 5]);
  expect(range(band(2.1), Comparison.RATIO)).toEqual([0.2, 5]);
  expect(range(band(1e9), Comparison.RATIO)[1]).toBe(50);
  const [least, most] = range(
    { times: [1], estimate: [0.004], lower: [-0.01], upper: [0.02], limit: [0.02], promotion: [0.02] },
    Comparison.RATE_DIFFERENCE,
  );
  expect(least).toBeLessThanOrEqual(-0.01);
  expect(most).toBeGreaterThanOrEqual(0.02);
  expect(
    range({ times: [], estimate: [], lower: [], upper: [], limit: [], promotion: [] }, Comparison.DIFFERENCE),
  ).toEqual([-1, 1]);
});

test("a wide band of the beginning does not flatten what came after it", () => {
  const row = { times: [1, 2], limit: [0.02, 0.02], promotion: [0.02, 0.02] };
  const band = { ...row, estimate: [0.5, 0.001], lower: [-1, -0.01], upper: [1, 0.012] };
  expect(range(band, Comparison.RATE_DIFFERENCE)[1]).toBeLessThan(0.2);
});

test("a table is short, and ends with the newest", () => {
  expect(thinned([1, 2, 3, 4, 5, 6, 7], 3)).toEqual([1, 4, 7]);
  expect(thinned([1, 2], 3)).toEqual([1, 2]);
  expect(ratioSplits(0.5, 5)).toEqual([0.5, 1, 2, 5]);
});

test("what a person ended stands as it was counted last, not as it was decided on last", () => {
  const held = create(AssessmentSchema, {
    time: timestampFromMs(1_000),
    guardrails: [{ name: "errors", standing: Standing.UNPROVEN, estimate: 2, worstSegment: "ca" }],
  });
  const newer = create(SeriesPointSchema, {
    time: timestampFromMs(9_000),
    guardrails: [{ standing: Standing.SAFE, estimate: 1.5 }],
  });
  expect(asOf(held, newer).guardrails[0]).toMatchObject({
    name: "errors",
    standing: Standing.SAFE,
    estimate: 1.5,
    worstSegment: "ca",
  });
  expect(asOf(held, undefined)).toBe(held);
  expect(asOf({ ...held, time: timestampFromMs(9_000) }, newer).guardrails[0]?.standing).toBe(Standing.UNPROVEN);
});
