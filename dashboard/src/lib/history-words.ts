import { Action } from "../gen/tidegate/control/v1/audit_pb";

// What became of something, in a word.
export const actionWords: Record<number, string> = {
  [Action.CREATED]: "created",
  [Action.UPDATED]: "changed",
  [Action.DELETED]: "deleted",
  [Action.ENABLED]: "turned on",
  [Action.DISABLED]: "turned off",
  [Action.PROMOTED]: "promoted",
  [Action.RESTORED]: "restored",
  [Action.STARTED]: "rollout started",
  [Action.PAUSED]: "rollout paused",
  [Action.RESUMED]: "rollout resumed",
  [Action.ADVANCED]: "rollout widened",
  [Action.HELD]: "rollout held",
  [Action.COMPLETED]: "rollout completed",
  [Action.ROLLED_BACK]: "rolled back",
  [Action.ABORTED]: "rollout aborted",
  [Action.TRIPPED]: "shut by a relay",
};

export const badActions = new Set<number>([Action.DELETED, Action.DISABLED, Action.ROLLED_BACK, Action.TRIPPED]);
