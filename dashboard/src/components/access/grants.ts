import { type Grant, Role } from "../../gen/tidegate/access/v1/identity_pb";

export const roleNames: Record<Role, string> = {
  [Role.UNSPECIFIED]: "relay",
  [Role.VIEWER]: "viewer",
  [Role.EDITOR]: "editor",
  [Role.OPERATOR]: "operator",
  [Role.ADMINISTRATOR]: "administrator",
  [Role.RELAY]: "relay",
  [Role.SDK_SERVER]: "SDK in servers",
  [Role.SDK_CLIENT]: "SDK in clients",
};

export const roleMeanings: Record<Role, string> = {
  [Role.UNSPECIFIED]: "",
  [Role.VIEWER]: "Sees flags, segments, rollouts, histories and the fleet.",
  [Role.EDITOR]:
    "Changes flags and segments, starts and steers rollouts; proposes it where the environment is protected.",
  [Role.OPERATOR]: "Changes protected environments, approves what others propose, freezes.",
  [Role.ADMINISTRATOR]: "Everything: people, keys, environments, the store.",
  [Role.RELAY]: "Follows an environment, hands it on, and sends telemetry up.",
  [Role.SDK_SERVER]: "Programs on your own machines: follow an environment, and evaluate.",
  [Role.SDK_CLIENT]: "Browsers and apps, where anybody can read it: only flags marked for clients, and never a rule.",
};

// One grant in words: "editor in staging, of keys that begin with checkout-".
export function grantWords(g: Grant): string {
  const where = g.environments.length === 0 ? "everywhere" : `in ${g.environments.join(", ")}`;
  const keys = g.keyPrefixes.length === 0 ? "" : `, of keys that begin with ${g.keyPrefixes.join(" or ")}`;
  return `${roleNames[g.role]} ${where}${keys}`;
}
