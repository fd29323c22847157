import { useEnvironments } from "../../api/use-environment";

// Some of the environments. None may mean all: `none` says so.
export function EnvironmentsField({
  values,
  set,
  none,
  label = "Environments",
}: {
  values: string[];
  set: (values: string[]) => void;
  none: string;
  label?: string;
}) {
  const names = useEnvironments().data ?? [];
  const all = [...new Set([...names, ...values])];
  return (
    <fieldset className="environments field">
      <legend className="label">{label}</legend>
      <div className="row">
        {all.map((n) => (
          <label className="check" key={n}>
            <input
              type="checkbox"
              checked={values.includes(n)}
              onChange={(e) => set(e.target.checked ? [...values, n] : values.filter((v) => v !== n))}
            />
            {n}
          </label>
        ))}
      </div>
      {values.length === 0 && <span className="hint">{none}</span>}
    </fieldset>
  );
}
