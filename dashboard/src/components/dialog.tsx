import { X } from "lucide-react";
import { type FormEvent, type ReactNode, useId, useLayoutEffect, useRef } from "react";
import { keepFocus } from "../lib/focus";
import { IconButton } from "./basics";

// A modal dialog, as long as it is rendered. The platform keeps the focus in it and closes it by
// Escape. With `onSubmit` it is a form. Afterwards the focus is where it was.
export function Dialog(props: {
  title: string;
  wide?: boolean;
  onClose: () => void;
  onSubmit?: () => void;
  children: ReactNode;
  footer?: ReactNode;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  const title = useId();
  const gone = useRef(false);
  useLayoutEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    gone.current = false;
    dialog.showModal();
    // Where people expect to go on: at the first field, else at what the dialog proposes.
    const fields = ".content :is(textarea, input, select):not(:disabled)";
    const first = dialog.querySelector<HTMLElement>(fields) ?? dialog.querySelector<HTMLElement>("footer .primary");
    first?.focus();
    return () => {
      gone.current = true;
      // Only what is closed, and not just taken away, gives the focus back.
      dialog.close();
      keepFocus();
    };
  }, []);
  const inside = (
    <>
      <header>
        <h2 id={title}>{props.title}</h2>
        <IconButton icon={X} label="Close" small onClick={props.onClose} />
      </header>
      <div className="content">{props.children}</div>
      {props.footer && <footer>{props.footer}</footer>}
    </>
  );
  const { onSubmit } = props;
  return (
    <dialog
      ref={ref}
      className={`dialog ${props.wide ? "wide" : ""}`}
      aria-labelledby={title}
      onClose={() => {
        if (gone.current) return;
        props.onClose();
        // A second Escape closes it whatever the page says: who has something to ask goes on.
        setTimeout(() => ref.current && !ref.current.open && ref.current.showModal());
      }}
      onCancel={(e) => {
        e.preventDefault();
        props.onClose();
      }}
    >
      {onSubmit ? (
        <form
          onSubmit={(e: FormEvent) => {
            e.preventDefault();
            onSubmit();
          }}
          noValidate
        >
          {inside}
        </form>
      ) : (
        <div className="inside">{inside}</div>
      )}
    </dialog>
  );
}
