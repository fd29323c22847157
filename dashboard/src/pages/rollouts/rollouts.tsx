import { RolloutList } from "./list";

export default function Rollouts() {
  return <RolloutList kind="rollouts" />;
}
