import { Role } from "../gen/tidegate/access/v1/identity_pb";

// In the place of a key: of some keys at least.
export const someKey = Symbol("some key");

// Whether somebody may do what a role may in an environment ("": in all), to a key; without one: to
// whatever is there.
export type May = (role: Role, environment: string, key?: string | typeof someKey) => boolean;

// What it takes to write in an environment.
export const writer = (isProtected: boolean | undefined) => (isProtected ? Role.OPERATOR : Role.EDITOR);

// Why somebody may not change all of these keys, for people; undefined: they may. Without a key:
// why they may change nothing at all.
export function refusal(
  may: May,
  environment: string,
  isProtected: boolean | undefined,
  ...keys: string[]
): string | undefined {
  const role = writer(isProtected);
  if (!may(role, environment, someKey))
    return isProtected
      ? `${environment} is protected: it takes an operator to change something there`
      : `It takes an editor to change something in ${environment}`;
  const other = keys.find((key) => !may(role, environment, key));
  return other === undefined ? undefined : `What you may change in ${environment} does not include ${other}`;
}
