import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Plus, Trash2 } from "lucide-react";
import { Button, Card, Field, IconButton, Input } from "../../components/basics";
import { useForm, useProblem } from "../../components/draft";
import { localText, readLocal } from "../../components/proposal";
import {
  DayOfWeek,
  type FreezeWindow,
  FreezeWindowSchema,
  type OnceWindow,
  type WeeklyWindow,
} from "../../gen/tidegate/control/v1/environment_pb";
import { dateOf, zone } from "../../lib/time";
import type { SettingsForm } from "./forms";
import { dayNames } from "./week";
import { Week } from "./week-picture";

function weekly(): FreezeWindow {
  return create(FreezeWindowSchema, {
    name: "weekend",
    when: {
      case: "weekly",
      value: {
        days: [DayOfWeek.FRIDAY],
        start: "18:00",
        duration: { seconds: 62n * 3600n },
        timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      },
    },
  });
}

function once(): FreezeWindow {
  const start = new Date(Math.ceil(Date.now() / 3_600_000) * 3_600_000);
  const end = new Date(start.getTime() + 86_400_000);
  return create(FreezeWindowSchema, {
    name: "closing",
    when: { case: "once", value: { start: timestampFromDate(start), end: timestampFromDate(end) } },
  });
}

// When nothing is changed but what makes it safer.
export function Windows({ settings, edit, disabled }: SettingsForm) {
  const set = (i: number, how: (w: FreezeWindow) => void) =>
    edit((s) => {
      const at = s.freezeWindows[i];
      if (at) how(at);
    });
  const { problems } = useForm();
  return (
    <Card
      title="Freeze windows"
      actions={
        !disabled && (
          <>
            <Button small onClick={() => edit((s) => void s.freezeWindows.push(weekly()))}>
              <Plus size={14} aria-hidden /> Every week
            </Button>
            <Button small onClick={() => edit((s) => void s.freezeWindows.push(once()))}>
              <Plus size={14} aria-hidden /> Once
            </Button>
          </>
        )
      }
    >
      <div className="stack">
        {settings.freezeWindows.length === 0 ? (
          <p className="soft">None: changes may be made at any time.</p>
        ) : (
          <Week windows={settings.freezeWindows} />
        )}
        {settings.freezeWindows.map((w, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: its name is being typed
          <fieldset className="part" key={i} disabled={disabled}>
            <legend className="visually-hidden">Window {w.name}</legend>
            <div className="pair">
              <Field label="Name" problem={problems.get(`freeze_windows[${i}].name`)}>
                {(ids) => (
                  <Input
                    {...ids}
                    value={w.name}
                    onChange={(e) =>
                      set(i, (at) => {
                        at.name = e.target.value;
                      })
                    }
                  />
                )}
              </Field>
              <Field label="What people are told (optional)" problem={problems.get(`freeze_windows[${i}].explanation`)}>
                {(ids) => (
                  <Input
                    {...ids}
                    maxLength={128}
                    value={w.explanation}
                    onChange={(e) =>
                      set(i, (at) => {
                        at.explanation = e.target.value;
                      })
                    }
                  />
                )}
              </Field>
            </div>
            {w.when.case === "weekly" && (
              <Weekly
                path={`freeze_windows[${i}].weekly`}
                window={w.when.value}
                set={(how) => set(i, (at) => at.when.case === "weekly" && how(at.when.value))}
              />
            )}
            {w.when.case === "once" && (
              <Once
                path={`freeze_windows[${i}].once`}
                window={w.when.value}
                set={(how) => set(i, (at) => at.when.case === "once" && how(at.when.value))}
              />
            )}
            {!disabled && (
              <div>
                <IconButton
                  icon={Trash2}
                  label={`Take away the window ${w.name}`}
                  small
                  onClick={() => edit((s) => void s.freezeWindows.splice(i, 1))}
                />
              </div>
            )}
          </fieldset>
        ))}
      </div>
    </Card>
  );
}

function Weekly({
  path,
  window: w,
  set,
}: {
  path: string;
  window: WeeklyWindow;
  set: (how: (w: WeeklyWindow) => void) => void;
}) {
  const days = useProblem(`${path}.days`, true);
  const start = useProblem(`${path}.start`);
  const duration = useProblem(`${path}.duration`);
  const zone = useProblem(`${path}.time_zone`);
  return (
    <>
      <div className="row">
        {dayNames.map((name, at) => {
          const day = (at + 1) as DayOfWeek;
          return (
            <label className="check" key={name}>
              <input
                type="checkbox"
                checked={w.days.includes(day)}
                onChange={(e) =>
                  set((x) => {
                    x.days = e.target.checked
                      ? [...x.days, day].sort((a, b) => a - b)
                      : x.days.filter((d) => d !== day);
                  })
                }
              />
              {name}
            </label>
          );
        })}
      </div>
      {days && <span className="problem">{days}</span>}
      <div className="pair">
        <Field label="Starts at" problem={start}>
          {(ids) => (
            <Input
              {...ids}
              type="time"
              value={w.start}
              onChange={(e) =>
                set((x) => {
                  x.start = e.target.value;
                })
              }
            />
          )}
        </Field>
        <Field label="Lasts, in hours" hint="By the clock on the wall; at most 168." problem={duration}>
          {(ids) => (
            <Input
              {...ids}
              type="number"
              min={0.25}
              max={168}
              step={0.25}
              value={Number(w.duration?.seconds ?? 0n) / 3600}
              onChange={(e) =>
                set((x) => {
                  const seconds = BigInt(Math.round(Number(e.target.value) * 60) * 60);
                  if (x.duration) x.duration.seconds = seconds;
                })
              }
            />
          )}
        </Field>
        <Field label="Time zone" hint="Such as Europe/Berlin." problem={zone}>
          {(ids) => (
            <Input
              {...ids}
              list="time-zones"
              spellCheck={false}
              value={w.timeZone}
              onChange={(e) =>
                set((x) => {
                  x.timeZone = e.target.value;
                })
              }
            />
          )}
        </Field>
      </div>
      <datalist id="time-zones">
        {Intl.supportedValuesOf("timeZone").map((z) => (
          <option key={z} value={z} />
        ))}
      </datalist>
    </>
  );
}

const ends = [
  ["start", "From"],
  ["end", "To"],
] as const;

function Once({
  path,
  window: w,
  set,
}: {
  path: string;
  window: OnceWindow;
  set: (how: (w: OnceWindow) => void) => void;
}) {
  const { problems } = useForm();
  return (
    <div className="pair">
      {ends.map(([field, label]) => {
        const at = dateOf(w[field]);
        return (
          <Field
            key={field}
            label={label}
            hint={`By your clock (${zone(at ?? new Date())}).`}
            problem={problems.get(`${path}.${field}`) ?? (field === "start" ? problems.get(path) : undefined)}
          >
            {(ids) => (
              <Input
                {...ids}
                type="datetime-local"
                value={at ? localText(at) : ""}
                onChange={(e) =>
                  set((x) => {
                    const date = readLocal(e.target.value);
                    x[field] = date && timestampFromDate(date);
                  })
                }
              />
            )}
          </Field>
        );
      })}
    </div>
  );
}
