import { Role } from "../../gen/tidegate/access/v1/identity_pb";

// How a key is used, by what it is for.
export function snippet(role: Role, environments: string[]): { words: string; text: string } {
  const environment = environments[0] ?? "production";
  switch (role) {
    case Role.SDK_SERVER:
      return {
        words: "Programs present it with each call, to a relay:",
        text: `grpcurl -plaintext -H "authorization: Bearer $TIDEGATE_KEY" \\
  -d '{"environment":"${environment}","flagKey":"FLAG","context":{"targetingKey":"USER"}}' \\
  RELAY:8013 tidegate.evaluation.v1.EvaluationService/Evaluate`,
      };
    case Role.SDK_CLIENT:
      return {
        words: "Browsers and apps present it to a relay, and get flags that are marked for clients:",
        text: `curl -H "Authorization: Bearer $TIDEGATE_KEY" -H "Content-Type: application/json" \\
  -d '{"context":{"targetingKey":"USER"}}' \\
  https://RELAY/ofrep/v1/evaluate/flags`,
      };
    default:
      return {
        words: "A relay reads it from a file:",
        text: `tidegate-relay --upstream=CONTROL:7013 --environments=${environments.join(",")} --key-file=relay.key`,
      };
  }
}
