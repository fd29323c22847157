import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { instead } from "./errors";

const away = new ConnectError("upstream is away", Code.Unavailable);
const nobody = new ConnectError(
  "Failed to fetch",
  Code.Unknown,
  undefined,
  undefined,
  new TypeError("Failed to fetch"),
);
const gone = new ConnectError("no such key", Code.NotFound);
const refused = new ConnectError("not yours", Code.PermissionDenied);

test("what was known stays when the server is asked in vain", () => {
  for (const error of [null, away, nobody]) expect(instead({ error, data: ["a"] })).toBeNull();
});

test("where nothing was known it is told why", () => {
  expect(instead({ error: away, data: undefined })).toBe(away);
  expect(instead({ error: null, data: undefined })).toBeNull();
});

test("what the server says is gone, or not for these eyes, does not stay", () => {
  for (const error of [gone, refused]) expect(instead({ error, data: ["a"] })).toBe(error);
});
