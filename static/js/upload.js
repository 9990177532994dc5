// The upload page: choosing and dropping, progress, pausing, and going on with what was begun before a reload.
// Without scripts the same form posts to the same page.
import { chosenIn, droppedIn, faultOf, fingerprint, nameOf, pick, size } from "./upload_files.js";
import { Transfer } from "./upload_transfer.js";

const $ = (id) => document.getElementById(id);
const form = $("upload");
const input = $("files");
const folder = $("folder");
const drop = $("drop");
const list = $("chosen");
const left = $("left-out");
const fault = $("upload-error");
const status = $("upload-status");
const buttons = { send: $("send"), pause: $("pause"), resume: $("resume"), cancel: $("cancel") };
const limit = Number(form.dataset.limit);
const csrf = form.querySelector("[name=csrfmiddlewaretoken]").value;
let chosen = [];
let transfer = null;
input.required = false;

function say(message) {
  fault.hidden = !message;
  fault.textContent = message || "";
  if (message) fault.scrollIntoView({ block: "nearest" });
}

/** A row of the list: name, size, and while it is sent its progress. */
function rowOf(path, bytes) {
  const row = document.createElement("li");
  const name = document.createElement("span");
  name.textContent = path;
  const number = document.createElement("span");
  number.className = "num";
  number.textContent = size(bytes);
  const bar = document.createElement("progress");
  Object.assign(bar, { max: 1, value: 0, hidden: true });
  bar.setAttribute("aria-label", path);
  const words = document.createElement("span");
  words.className = "words";
  row.append(name, number, bar, words);
  return row;
}

function show(entries) {
  const { kept, left: others, fault: wrong } = pick(entries);
  chosen = kept;
  list.hidden = !kept.length;
  list.replaceChildren(...kept.map((entry) => rowOf(entry.path, entry.file.size)));
  const bytes = others.reduce((sum, entry) => sum + entry.file.size, 0);
  const names = others.slice(0, 5).map((entry) => nameOf(entry.path)).join(", ");
  left.hidden = !others.length;
  left.textContent = others.length
    ? `Left out, because an adapter has no use for ${others.length === 1 ? "it" : "them"}: ${names}${others.length > 5 ? ` and ${others.length - 5} more` : ""} (${size(bytes)}).`
    : "";
  buttons.send.textContent = others.length ? `Leave ${others.length === 1 ? "it" : "these"} out and upload` : "Upload";
  say(wrong || (kept.length ? faultOf(kept, limit) : ""));
}

function showItem(item, words) {
  const row = item.row;
  row.classList.toggle("done", item.done);
  const bar = row.querySelector("progress");
  bar.hidden = false;
  bar.value = item.length ? item.sent / item.length : 1;
  row.querySelector(".words").textContent = words;
}

const STATUS = {
  sending: "Uploading. You can pause, or close the page and go on later.",
  paused: "Paused.",
  making: "All files arrived. Reading them.",
};

function showState(state, words) {
  const running = state === "sending" || state === "waiting";
  document.body.classList.toggle("uploading", state !== "cancelled");
  drop.classList.toggle("busy", state !== "cancelled");
  for (const part of drop.querySelectorAll("[data-choose]")) part.toggleAttribute("hidden", state !== "cancelled");
  for (const section of document.querySelectorAll(".unfinished")) section.hidden = state !== "cancelled";
  buttons.send.hidden = state !== "cancelled";
  buttons.pause.hidden = !running;
  buttons.resume.hidden = state !== "paused" && state !== "failed";
  buttons.cancel.hidden = state === "cancelled" || state === "making";
  if (document.activeElement === document.body) [buttons.pause, buttons.resume].find((one) => !one.hidden)?.focus();
  status.textContent = state === "waiting" ? words : STATUS[state] || "";
  say(state === "failed" ? words : "");
}

function run(items, group) {
  list.hidden = false;
  left.hidden = true;
  for (const item of items) item.row = rowOf(item.path, item.length);
  list.replaceChildren(...items.map((item) => item.row));
  transfer = new Transfer({
    items,
    group,
    csrf,
    api: form.dataset.api,
    on: {
      item: showItem,
      state: showState,
      made: (upload) => window.location.assign(form.dataset.next.replace("{id}", upload.id)),
    },
  });
  for (const item of items) showItem(item, item.done ? "Arrived" : "");
  transfer.start();
}

function newGroup() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function itemOf({ file, path }) {
  return { file, path, length: file.size, sent: 0, id: "", done: false, fingerprint: await fingerprint(file) };
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const wrong = chosen.length ? faultOf(chosen, limit) : "Choose the files of your adapter first.";
  say(wrong);
  if (wrong) return;
  buttons.send.disabled = true;
  try {
    const items = await Promise.all(chosen.map(itemOf));
    // The small files first: with them, what is wrong with the weights' companions is known early.
    items.sort((one, other) => one.length - other.length);
    const begun = begunBefore(items);
    if (begun) run(begun.items, begun.group);
    else run(items, newGroup());
  } catch {
    say("A file could not be read. It may have been moved or changed since you chose it: choose it again.");
  } finally {
    buttons.send.disabled = false;
  }
});

buttons.pause.addEventListener("click", () => transfer.pause());
buttons.resume.addEventListener("click", () => transfer.start());
buttons.cancel.addEventListener("click", async () => {
  await transfer.cancel();
  transfer = null;
  show(chosen);
  status.textContent = "Cancelled. Nothing is kept.";
  buttons.send.focus();
});
window.addEventListener("online", () => transfer?.retry());

// --- what was begun before ---------------------------------------------------------------------------------------
function groupsOnPage() {
  return [...document.querySelectorAll(".unfinished [data-group]")].map((element) => ({
    element,
    group: element.dataset.group,
    parts: [...element.querySelectorAll("[data-part]")].map((row) => ({
      id: row.dataset.part,
      path: row.dataset.path,
      length: Number(row.dataset.length),
      sent: Number(row.dataset.offset),
      done: row.dataset.complete === "true",
      fingerprint: row.dataset.fingerprint,
    })),
  }));
}

/** The begun upload that consists of exactly these files; its parts that have not arrived get their file. */
function begunBefore(items) {
  for (const { group, parts } of groupsOnPage()) {
    const found = parts.map((part) => ({ ...part, file: items.find((item) => same(part, item))?.file }));
    if (parts.length === items.length && found.every((part) => part.file)) return { group, items: found };
  }
  return null;
}

function same(part, item) {
  return nameOf(part.path) === nameOf(item.path) && part.fingerprint === item.fingerprint;
}

async function goOn(begun, entries) {
  const items = await Promise.all(entries.map(itemOf));
  const missing = [];
  for (const part of begun.parts.filter((one) => !one.done)) {
    const named = items.filter((item) => nameOf(item.path) === nameOf(part.path));
    part.file = named.find((item) => same(part, item))?.file;
    if (part.file) continue;
    if (!part.fingerprint) {
      missing.push(`${nameOf(part.path)} was begun by another program: go on with it there, or discard it.`);
      continue;
    }
    missing.push(
      named.length
        ? `${nameOf(part.path)} is not the file that was begun: ${named[0].length === part.length ? "it was changed since" : `it has ${size(named[0].length)} instead of ${size(part.length)}`}. Choose the same file, or discard what arrived and upload the new one.`
        : `${nameOf(part.path)} is still missing: choose it too.`,
    );
  }
  if (missing.length) say(missing.join(" "));
  else run(begun.parts, begun.group);
}

for (const begun of groupsOnPage()) {
  const again = begun.element.querySelector("input[type=file]");
  again.addEventListener("change", () => {
    if (again.files.length) goOn(begun, chosenIn(again)).catch(() => say("The file could not be read. Choose it again."));
    again.value = "";
  });
  begun.element.querySelector("[data-finish]")?.addEventListener("click", () => run(begun.parts, begun.group));
}

// --- choosing and dropping ---------------------------------------------------------------------------------------
for (const one of [input, folder]) {
  one.addEventListener("change", () => {
    status.textContent = "";
    show(chosenIn(one));
  });
}
for (const kind of ["dragenter", "dragover"]) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); if (!transfer) drop.classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
}
drop.addEventListener("drop", async (event) => {
  if (transfer) return;
  const entries = await droppedIn(event.dataTransfer).catch(() => []);
  if (entries.length) show(entries);
});
show(chosenIn(input));
