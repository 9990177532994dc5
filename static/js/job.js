// Follows a job live. The page's own state is complete without it: a reload shows the same.
const root = document.querySelector("#job[data-events]");

const CLASSES = { succeeded: "good", failed: "bad", running: "live", cancelled: "warn", queued: "" };

function clock(seconds) {
  return new Date(seconds * 1000).toISOString().slice(11, 19);
}

function show(state) {
  const badge = document.createElement("span");
  badge.className = `state ${CLASSES[state.state] || ""}`.trim();
  badge.textContent = state.state;
  root.querySelector("[data-state]").replaceChildren(badge);
  root.querySelector("[data-message]").textContent = state.message;
  root.querySelector("[data-progress]").value = state.progress;
  const before = state.waiting_before;
  root.querySelector("[data-waiting]").textContent = before ? `${before} job${before === 1 ? "" : "s"} before this one` : "";
  if (state.cancel_requested) root.querySelector("[data-cancel]")?.remove();
  const log = document.querySelector("[data-log]");
  const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  log.replaceChildren(
    ...state.log.map((line) => {
      const row = document.createElement("li");
      const time = document.createElement("time");
      time.textContent = clock(line.at);
      const words = document.createElement("span");
      words.textContent = line.message;
      row.append(time, words);
      return row;
    }),
  );
  if (atEnd) log.scrollTop = log.scrollHeight;
}

if (root) {
  const source = new EventSource(root.dataset.events);
  let state = { log: [] };
  source.addEventListener("state", (event) => {
    state = JSON.parse(event.data);
    show(state);
  });
  source.addEventListener("change", (event) => {
    const { log, log_from: from, ...changed } = JSON.parse(event.data);
    state = { ...state, ...changed };
    if (log) state.log = [...state.log.slice(0, from), ...log];
    show(state);
  });
  source.addEventListener("end", () => {
    source.close();
    // The finished page has buttons that only the server knows.
    window.location.reload();
  });
}
