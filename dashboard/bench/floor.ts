import { createServer, type Server } from "node:http";
import { gzipSync } from "node:zlib";
import { manyFlags } from "./many-flags";

const escaped = (text: string) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

// The same rows as one list of HTML, all of them rendered, hidden where a search does not find
// them: what a page costs that is as simple as can be.
function list(): string {
  const rows = manyFlags().map(
    (f) =>
      `<li><a href="#">${escaped(f.key)}</a> <span>${escaped(f.description ?? "")}</span> ${escaped([f.owner, ...(f.tags ?? [])].join(" "))}</li>`,
  );
  return `<!doctype html><meta charset="utf-8"><title>Flags</title>
<h1>Flags</h1><p id="count"></p><input autofocus><ul>${rows.join("\n")}</ul>
<script>
const rows = [...document.querySelectorAll("li")].map((row) => ({ row, text: row.textContent.toLowerCase() }));
const count = document.querySelector("#count");
function search(text) {
  let found = 0;
  for (const r of rows) if (!(r.row.hidden = !r.text.includes(text))) found++;
  count.textContent = found + " found";
}
document.querySelector("input").addEventListener("input", (e) => search(e.target.value.toLowerCase()));
search("");
</script>`;
}

const empty = '<!doctype html><meta charset="utf-8"><title>Empty</title><p id="count">0 found</p>';

// Serves /list and /empty; returns where, and what ends it.
export async function serveFloor(): Promise<{ url: string; server: Server }> {
  const pages: Record<string, Buffer> = { "/list": gzipSync(list()), "/empty": gzipSync(empty) };
  const server = createServer((request, response) => {
    const page = pages[request.url ?? ""];
    response.writeHead(page ? 200 : 404, { "Content-Type": "text/html", "Content-Encoding": "gzip" });
    response.end(page ?? gzipSync(""));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  return { url: `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`, server };
}
