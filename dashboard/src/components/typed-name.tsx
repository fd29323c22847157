import { Field, Input, Note } from "./basics";

// In a protected environment its name is typed before anything is written.
export function TypedName({
  environment,
  typed,
  setTyped,
}: {
  environment: string;
  typed: string;
  setTyped: (text: string) => void;
}) {
  return (
    <>
      <Note tone="warn">
        <span>
          <strong>{environment}</strong> is protected: what you change here reaches users.
        </span>
      </Note>
      <Field label={`Type “${environment}” to go on`}>
        {(ids) => (
          <Input
            {...ids}
            autoComplete="off"
            spellCheck={false}
            value={typed}
            onChange={(e) => setTyped(e.target.value)}
          />
        )}
      </Field>
    </>
  );
}
