import { RolloutList } from "../rollouts/list";

export default function Experiments() {
  return <RolloutList kind="experiments" />;
}
