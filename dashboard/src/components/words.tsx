import type { Words as Text } from "../lib/words";

// A sentence with names in it.
export function Words({ words }: { words: Text }) {
  return (
    <>
      {words.map((w, i) =>
        typeof w === "string" ? (
          w
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: a place in a sentence
          <code className="name" key={i}>
            {w.code}
          </code>
        ),
      )}
    </>
  );
}
