// @vitest-environment jsdom
import { beforeEach, expect, test } from "vitest";
import { belongTo } from "./tab-storage";

beforeEach(() => sessionStorage.clear());

test("a draft is there for who comes back, and for nobody else", () => {
  belongTo("ada");
  sessionStorage.setItem("draft", "hers");
  belongTo("ada");
  expect(sessionStorage.getItem("draft")).toBe("hers");
  belongTo("ben");
  expect(sessionStorage.getItem("draft")).toBeNull();
});

test("what nobody is known to own is nobody's", () => {
  sessionStorage.setItem("draft", "somebody's");
  belongTo("ada");
  expect(sessionStorage.getItem("draft")).toBeNull();
});
