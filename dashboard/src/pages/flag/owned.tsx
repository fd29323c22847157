import { type ReactNode, useMemo } from "react";
import { Link } from "wouter";
import { Note } from "../../components/basics";
import { FormProvider, useForm } from "../../components/draft";

// What a rollout moves is not edited by hand meanwhile.
export function OwnedByRollout({
  environment,
  rollout,
  children,
}: {
  environment: string;
  rollout: string | undefined;
  children: ReactNode;
}) {
  const form = useForm();
  const closed = useMemo(() => ({ ...form, disabled: true }), [form]);
  if (!rollout) return children;
  return (
    <div className="stack tight">
      <Note>
        <span>
          The rollout <Link href={`/${environment}/rollouts/${rollout}`}>{rollout}</Link> moves these shares. Pause or
          abort it there.
        </span>
      </Note>
      <FormProvider value={closed}>{children}</FormProvider>
    </div>
  );
}
