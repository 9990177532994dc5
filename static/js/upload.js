// Drag and drop, progress and stopping. Without scripts the same form posts to the same page.
const form = document.getElementById("upload");
const input = document.getElementById("files");
const drop = document.getElementById("drop");
const list = document.getElementById("chosen");
const fault = document.getElementById("upload-error");
const progress = document.getElementById("progress");
const bar = progress.querySelector("progress");
const words = document.getElementById("progress-words");
const send = document.getElementById("send");
const limit = Number(form.dataset.limit);
let running = null;

const UNITS = ["B", "kB", "MB", "GB"];
function size(bytes) {
  let unit = 0;
  while (bytes >= 999.5 && unit < UNITS.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit && bytes < 99.5 ? bytes.toFixed(1) : Math.round(bytes)} ${UNITS[unit]}`;
}

function say(message) {
  fault.hidden = !message;
  fault.textContent = message || "";
  if (message) fault.scrollIntoView({ block: "nearest" });
}

/** What is certainly wrong is said before a byte is sent; the server has the last word. */
function faultOf(files) {
  const names = files.map((file) => file.name.toLowerCase());
  const total = files.reduce((sum, file) => sum + file.size, 0);
  if (total > limit) return `These files have ${size(total)} together; ${size(limit)} are allowed.`;
  if (names.length === 1 && names[0].endsWith(".zip")) return "";
  if (!names.some((name) => name.endsWith(".safetensors")) && !names.some((name) => /\.(bin|pt|pth|ckpt)$/.test(name)))
    return "adapter_model.safetensors is missing. Choose both files together, or one zip.";
  if (!names.some((name) => name.endsWith(".json"))) return "adapter_config.json is missing. Choose both files together, or one zip.";
  return "";
}

function show() {
  const files = [...input.files];
  list.hidden = files.length === 0;
  list.replaceChildren(
    ...files.map((file) => {
      const row = document.createElement("li");
      const name = document.createElement("span");
      name.textContent = file.name;
      const bytes = document.createElement("span");
      bytes.className = "num";
      bytes.textContent = size(file.size);
      row.append(name, bytes);
      return row;
    }),
  );
  say(files.length ? faultOf(files) : "");
}

function busy(on) {
  progress.hidden = !on;
  send.disabled = on;
  bar.value = 0;
}

function answer(request) {
  let body = {};
  try { body = JSON.parse(request.responseText); } catch (error) { /* a proxy's page: the status says enough */ }
  if (request.status === 201) {
    window.location.assign(form.dataset.next.replace("{id}", body.id));
    return;
  }
  busy(false);
  say(body.message || `The upload failed with status ${request.status}. Try again in a moment.`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const files = [...input.files];
  const wrong = faultOf(files);
  if (wrong) { say(wrong); return; }
  say("");
  busy(true);
  const body = new FormData();
  for (const file of files) body.append("files", file, file.name);
  const request = new XMLHttpRequest();
  running = request;
  const started = performance.now();
  request.upload.addEventListener("progress", (update) => {
    if (!update.lengthComputable) return;
    bar.value = update.loaded / update.total;
    const rate = update.loaded / Math.max(0.2, (performance.now() - started) / 1000);
    words.textContent = update.loaded < update.total
      ? `${size(update.loaded)} of ${size(update.total)}, ${size(rate)}/s`
      : "Received. Writing it down.";
  });
  request.addEventListener("load", () => answer(request));
  request.addEventListener("error", () => { busy(false); say("The connection broke. Your files are still chosen: upload again."); });
  request.addEventListener("abort", () => { busy(false); say("Stopped. Nothing was stored."); });
  request.open("POST", form.dataset.api);
  request.setRequestHeader("X-CSRFToken", form.querySelector("[name=csrfmiddlewaretoken]").value);
  request.setRequestHeader("Accept", "application/json");
  request.send(body);
});
document.getElementById("stop").addEventListener("click", () => running?.abort());
input.addEventListener("change", show);

for (const kind of ["dragenter", "dragover"]) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
}
drop.addEventListener("drop", (event) => {
  if (!event.dataTransfer.files.length) return;
  input.files = event.dataTransfer.files;
  show();
});
show();
