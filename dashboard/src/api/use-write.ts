import { refusal } from "../lib/rights";
import { useSession } from "./session";
import { useSettings } from "./use-environment";

// Says why somebody may not change what has these keys in an environment: undefined, they may.
// The server asks the same.
export function useRefusal(environment: string): (...keys: string[]) => string | undefined {
  const session = useSession();
  const settings = useSettings(environment).data?.settings;
  return (...keys) => refusal(session.may, environment, settings?.protected, ...keys);
}
