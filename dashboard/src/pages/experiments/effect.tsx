import { type Statistic, SuccessVerdict } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { type Effect, effectPlace, endWords, successTones, successWords } from "../../lib/success-words";

// How much better the treatment is, or was when it ended: its interval around 0, and what that
// comes to.
export function EffectLine(props: { metric: string; statistic: Statistic; effect: Effect | undefined; over: boolean }) {
  const { metric, statistic, effect, over } = props;
  const place = effectPlace(effect);
  return (
    <span className="effect">
      <code>{metric}</code>
      {place && (
        <span
          className={`effect-band ${successTones[effect?.verdict ?? SuccessVerdict.UNSPECIFIED] ?? ""}`}
          aria-hidden
        >
          <i style={{ left: `${place.zero * 100}%` }} />
          <span style={{ left: `${place.from * 100}%`, width: `${(place.to - place.from) * 100}%` }} />
          <b style={{ left: `${place.estimate * 100}%` }} />
        </span>
      )}
      <span>{over ? endWords(effect, statistic) : successWords(effect, statistic)}</span>
    </span>
  );
}
