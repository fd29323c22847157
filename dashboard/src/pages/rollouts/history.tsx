import { rollouts } from "../../api/transport";
import { Card } from "../../components/basics";
import { HistoryList } from "../../components/history-list";

// What people and the decider did to it, as audited.
export function RolloutHistory(props: { environment: string; rolloutKey: string; revision: bigint }) {
  const { environment, rolloutKey, revision } = props;
  return (
    <Card title="Audit">
      <HistoryList
        environment={environment}
        queryKey={["rollout-history", environment, rolloutKey, revision.toString()]}
        fetch={(pageToken) => rollouts.listRolloutHistory({ environment, key: rolloutKey, pageSize: 5, pageToken })}
        current={revision}
        onRestore={() => {}}
      />
    </Card>
  );
}
