import { RolloutView } from "../rollouts/rollout";

// An experiment is a rollout that has something to prove.
export default function ExperimentPage() {
  return <RolloutView list="experiments" />;
}
