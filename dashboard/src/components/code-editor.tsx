import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, highlightActiveLine, keymap, lineNumbers, type ViewUpdate } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";

export type Mark = { from: number; to: number; message: string };

const look = EditorView.theme({
  "&": { backgroundColor: "var(--surface-raised)", color: "var(--text)", fontSize: "13px" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-1px" },
  ".cm-content": { fontFamily: "var(--mono)", caretColor: "var(--text)", padding: "10px 0" },
  ".cm-gutters": { backgroundColor: "var(--surface-sunken)", color: "var(--text-faint)", border: "0" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent) 7%, transparent)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground, .cm-content ::selection": {
    backgroundColor: "var(--accent-soft)",
  },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-lintRange-error": {
    backgroundImage: "none",
    textDecoration: "underline wavy var(--bad)",
    textUnderlineOffset: "3px",
  },
  ".cm-tooltip": {
    backgroundColor: "var(--surface-raised)",
    color: "var(--text)",
    border: "1px solid var(--border-strong)",
    borderRadius: "6px",
    fontFamily: "var(--font)",
    fontSize: "13px",
    maxWidth: "460px",
  },
  ".cm-diagnostic-error": { borderLeft: "3px solid var(--bad)", padding: "6px 10px" },
  ".cm-lint-marker-error": {
    content: "none",
    width: "8px",
    height: "8px",
    borderRadius: "4px",
    background: "var(--bad)",
  },
});

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent-strong)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.keyword], color: "var(--series-3)" },
  { tag: tags.comment, color: "var(--text-faint)", fontStyle: "italic" },
  { tag: tags.invalid, color: "var(--bad)" },
]);

// What is set from outside is no edit.
function byHand(u: ViewUpdate): boolean {
  const events = ["input", "delete", "move", "undo", "redo"];
  return u.docChanged && u.transactions.some((t) => events.some((e) => t.isUserEvent(e)));
}

// Chromium keeps the looks of a line that is typed over by a style attribute, which the page's
// policy does not let in: what is selected is replaced here, and not by the browser.
const typedOver = EditorView.domEventHandlers({
  beforeinput(e, view) {
    const { state } = view;
    if (e.inputType !== "insertText" || !e.data || state.readOnly || state.selection.main.empty) return false;
    view.dispatch(state.replaceSelection(e.data), { userEvent: "input.type", scrollIntoView: true });
    return true;
  },
});

// A text editor for YAML with marks at what is wrong. It lives in a shadow root: there its styles
// are adopted, as the page's policy lets no style elements in.
export default function CodeEditor({
  text,
  label,
  readOnly,
  marks,
  onChange,
  jump,
}: {
  text: string;
  label: string;
  readOnly: boolean;
  marks: Mark[];
  onChange: (text: string) => void;
  // A place to go to; another object is another wish.
  jump?: { at: number };
}) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const change = useRef(onChange);
  change.current = onChange;
  const initial = useRef({ text, label });
  const writable = useRef(new Compartment());

  useEffect(() => {
    if (!host.current) return;
    const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open" });
    const editor = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: initial.current.text,
        extensions: [
          lineNumbers(),
          highlightActiveLine(),
          history(),
          indentOnInput(),
          yaml(),
          syntaxHighlighting(colours),
          lintGutter(),
          typedOver,
          look,
          // Tab leaves the editor, as it leaves every field.
          keymap.of([...defaultKeymap, ...historyKeymap]),
          EditorView.contentAttributes.of({ "aria-label": initial.current.label, spellcheck: "false" }),
          EditorView.lineWrapping,
          writable.current.of([]),
          EditorView.updateListener.of((u) => {
            if (byHand(u)) change.current(u.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = editor;
    return () => editor.destroy();
  }, []);

  useEffect(() => {
    view.current?.dispatch({
      effects: writable.current.reconfigure(
        readOnly ? [EditorState.readOnly.of(true), EditorView.editable.of(true)] : [],
      ),
    });
  }, [readOnly]);

  useEffect(() => {
    const editor = view.current;
    if (!editor || editor.state.doc.toString() === text) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text } });
  }, [text]);

  useEffect(() => {
    const editor = view.current;
    if (!editor) return;
    const end = editor.state.doc.length;
    const diagnostics: Diagnostic[] = marks.map((m) => ({
      from: Math.min(m.from, end),
      to: Math.min(Math.max(m.to, m.from + 1), end),
      severity: "error",
      message: m.message,
    }));
    editor.dispatch(setDiagnostics(editor.state, diagnostics));
  }, [marks]);

  useEffect(() => {
    const editor = view.current;
    if (!editor || !jump) return;
    const at = Math.min(jump.at, editor.state.doc.length);
    editor.dispatch({ selection: { anchor: at }, scrollIntoView: true });
    editor.focus();
  }, [jump]);

  return <div ref={host} className="code-editor" />;
}
