import { useState } from "react";
import { Link } from "wouter";
import { useLive } from "../../api/use-live";
import { Card, Switch } from "../../components/basics";
import { servesWords } from "../../lib/flag-words";
import { SwitchDialog } from "../flags/switch-dialog";

// The flag that is moved, with its kill switch at hand.
export function FlagCard({ environment, flagKey, may }: { environment: string; flagKey: string; may: boolean }) {
  const flag = useLive((l) => l.flags.get(flagKey));
  const [switching, setSwitching] = useState<boolean>();
  if (!flag)
    return (
      <Card title="Flag">
        <p className="small soft">
          The flag <code>{flagKey}</code> is not there any more, or you may not see it.
        </p>
      </Card>
    );
  return (
    <Card
      title="Flag"
      actions={
        <>
          <strong className={flag.enabled ? "on" : "soft"}>{flag.enabled ? "On" : "Off"}</strong>
          <Switch
            on={flag.enabled}
            busy={switching !== undefined}
            disabled={!may}
            title={may ? "The kill switch" : "You may not change this flag"}
            label={`${flagKey} is ${flag.enabled ? "on" : "off"}`}
            onChange={setSwitching}
          />
        </>
      }
    >
      <div className="stack tight">
        <Link className="key" href={`/${environment}/flags/${encodeURIComponent(flagKey)}`}>
          {flagKey}
        </Link>
        <span className="small soft">Serves {servesWords(flag)}</span>
      </div>
      {switching !== undefined && (
        <SwitchDialog flag={flag} on={switching} environment={environment} onClose={() => setSwitching(undefined)} />
      )}
    </Card>
  );
}
