// The live parts of /inside. Every page is whole without them.
"use strict";

const timing = document.getElementById("inside-timing");
if (timing) {
  addEventListener("load", () => {
    const [page] = performance.getEntriesByType("navigation");
    const parts = (page && page.serverTiming) || [];
    const texts = parts.map((each) => `${each.description}: ${each.duration} ms`);
    if (page) texts.push(`this browser waited ${(page.responseStart - page.requestStart).toFixed(1)} ms for the first byte`);
    if (texts.length) timing.textContent = `Server-Timing of this page: ${texts.join(" · ")}`;
  });
}

const table = document.getElementById("inside-workers");
const cell = (label, text) => {
  const made = document.createElement("td");
  made.dataset.label = label;
  made.textContent = text;
  return made;
};
const json = async (url) => {
  const answer = await fetch(url, { headers: { Accept: "application/json" }, cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
};

const mb = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

let next;
async function follow() {
  try {
    const { workers, masters } = await json(table.dataset.live);
    const text = masters.map(([number, state]) => `generation ${number} ${state}`).join(", ");
    const status = document.getElementById("inside-masters");
    if (status.textContent !== text) status.textContent = text; // a screen reader reads each change
    table.tBodies[0].replaceChildren(...workers.map((each) => {
      const row = document.createElement("tr");
      const held = each.in_hand.map((one) => `${one.request}${one.seconds === null ? "" : ` (${one.seconds} s)`}`);
      row.append(
        cell("Worker", `${each.worker} · pid ${each.pid}`),
        cell("Generation", each.generation),
        cell("State", each.state),
        cell("In hand", held.join(", ") || "nothing"),
        cell("Requests", each.requests),
        cell("Wake-ups", each.wakeups ?? "?"),
        cell("Memory", each.pss ? `${mb(each.pss)}, own ${mb(each.private)}` : "?"),
      );
      return row;
    }));
  } catch { /* a swap or a lost connection: the next second asks again */ }
  clearTimeout(next);
  if (!document.hidden) next = setTimeout(follow, 1000);
}
if (table) {
  next = setTimeout(follow, 1000);
  addEventListener("visibilitychange", () => { if (!document.hidden) follow(); });
}

const spread = document.getElementById("inside-spread");
async function send(together) {
  const url = document.querySelector("[data-ping]").dataset.ping;
  const counts = new Map();
  const one = async () => {
    const { worker, thread } = await json(url);
    const name = `worker ${worker ?? "?"}, ${thread}`;
    counts.set(name, (counts.get(name) || 0) + 1);
  };
  spread.textContent = "Sending …";
  try {
    if (together) await Promise.all(Array.from({ length: 50 }, one));
    else for (let i = 0; i < 50; i += 1) await one();
    spread.textContent = [...counts].sort().map(([name, count]) => `${name}: ${count}`).join(" · ");
  } catch (error) {
    spread.textContent = error instanceof TypeError // of fetch: no answer, as when the network changes
      ? "Stopped: a connection broke. Try again."
      : `Stopped: the server answered ${error.message}. 300 a minute are allowed.`;
  }
}
if (spread) {
  document.getElementById("inside-one").addEventListener("click", () => send(false));
  document.getElementById("inside-all").addEventListener("click", () => send(true));
}
