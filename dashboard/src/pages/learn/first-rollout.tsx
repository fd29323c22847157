import { Link } from "wouter";
import { Command } from "../../components/command";

const key = "my-first-flag";

// Commands for this very server. Only its port for gRPC is not known to a page.
export function FirstRollout({ environment }: { environment: string }) {
  const host = window.location.hostname;
  const relay = `${host}:8013`;
  return (
    <section id="first">
      <h2>A first rollout in five steps</h2>
      <p>
        For a terminal with the <code>tidegate</code> command. It speaks to this server; 7013 and 8013 are the ports of
        the server and of a relay, unless they were told others. Steps 1, 4 and 5 can be done on these pages, too.
      </p>
      <Command label="Copy the settings">
        {`export TIDEGATE_SERVER=${host}:7013\nexport TIDEGATE_ENVIRONMENT=${environment}`}
      </Command>
      <ol className="steps">
        <li>
          <h3>Make a flag that changes nothing</h3>
          <p>
            A new flag changes nothing: no program asks for it yet. You can also{" "}
            <Link href={`/${environment}/flags/~new`}>make it here</Link>.
          </p>
          <Command>{`cat > ${key}.yaml <<'END'
apiVersion: tidegate/v1
flags:
  ${key}:
    description: My first flag
    owner: me
    kind: release
    type: boolean
    enabled: true
    variants: {on: true, off: false}
    offVariant: off
    default: off
END
tidegate apply -f ${key}.yaml --reason "to learn"`}</Command>
        </li>
        <li>
          <h3>Ask for it in your program</h3>
          <p>
            With any OpenFeature SDK, or as here by hand. Say who the user is: it is what makes them keep their variant.
            Then deploy. Nobody sees a difference.
          </p>
          <Command>{`grpcurl -plaintext -d '{"environment": "${environment}", "flagKey": "${key}",
    "context": {"targetingKey": "user-1"}}' \\
  ${relay} tidegate.evaluation.v1.EvaluationService/Evaluate`}</Command>
        </li>
        <li>
          <h3>Tell what must not get worse</h3>
          <p>
            Your program reports what became of the users that it served, here: whether an error happened. That is what
            the two variants are compared by. Report also when nothing went wrong.
          </p>
          <Command>{`grpcurl -plaintext -d '{"environment": "${environment}", "events": [{
    "context": {"targetingKey": "user-1"},
    "observations": [{"metric": "errors", "happened": false}]}]}' \\
  ${relay} tidegate.telemetry.v1.TelemetryService/Track`}</Command>
        </li>
        <li>
          <h3>Start the rollout</h3>
          <p>
            It goes to 1, 5, 20, 50 and 100% by itself, as long as it can be shown that errors are at most half as many
            again as before.
          </p>
          <Command>{`tidegate rollout start ${key}-1 --flag ${key} --to on --strategy canary \\
    --guardrail 'errors: rate < +50% relative' --reason "ready for everyone"`}</Command>
        </li>
        <li>
          <h3>Watch it, and have lunch</h3>
          <p>
            It says what it waits for. If errors rise, it is shut before you have read the message. If you want to stop
            it yourself, use the kill switch: the <Link href={`/${environment}/flags`}>switch in the list</Link>, or the
            second command.
          </p>
          <Command>{`tidegate rollout watch ${key}-1`}</Command>
          <Command>{`tidegate flag disable ${key} --reason "I have seen enough"`}</Command>
        </li>
      </ol>
      <p>
        At the end everyone has it. Take the question out of the code, deploy, and delete the flag: it has done its
        work.
      </p>
    </section>
  );
}
