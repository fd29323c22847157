import { fromJson } from "@bufbuild/protobuf";
import { SegmentRuleSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { code } from "../words";
import { clauseOf } from "./flag";
import { asText, field, finished, type Item, jsonIn, type Said } from "./lines";
import { aboutInstead, audience } from "./serving";
import { clausesIn, read } from "./undo";

// What is said of one change of a segment.
export function segmentSaid(c: Item): Said {
  const [, list, key] = /^(included|excluded)\[(.*)\]$/s.exec(c.path) ?? [];
  if (key !== undefined) return ofList(list === "included" ? "its list" : "those left out", key, c);
  const [, place, rest = ""] = /^rules\[(\d+)\](.*)$/s.exec(c.path) ?? [];
  if (place !== undefined) return ofRule(Number(place) + 1, rest, c);
  switch (c.path) {
    case "description":
      return field("Description", c);
    case "owner":
      return field("Owner", c);
    case "key_attribute":
      return field("Its lists are of", c, asText, "the targeting key");
  }
  return undefined;
}

function ofList(list: string, key: string, c: Item): Said {
  if (c.before !== "" && c.after !== "") return undefined;
  return ["Key ", code(key), c.before === "" ? ` was added to ${list}.` : ` was taken out of ${list}.`];
}

function ofRule(number: number, rest: string, c: Item): Said {
  const rule = `Rule ${number}`;
  if (rest === "") {
    const whole = read(() => fromJson(SegmentRuleSchema, jsonIn(c.before || c.after) ?? null));
    const deed = c.before === "" ? " was added: " : " was removed: ";
    return finished(whole && audience(whole.clauses), (words) => [rule, deed, ...words, "."]);
  }
  if (rest === ".clauses") {
    const [was, is] = [clausesIn(c.before), clausesIn(c.after)];
    return finished(was && is && aboutInstead(was, is), (words) => [rule, " ", ...words, "."]);
  }
  return clauseOf([`rule ${number}`], rest, c);
}
