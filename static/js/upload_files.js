// What was chosen: which of the files make an adapter, and by what a file is recognised when it is chosen again.
export const CONFIG = "adapter_config.json";
export const WEIGHTS = "adapter_model.safetensors";
const PICKLE = /\.(bin|pt|pth|ckpt|pkl|pickle)$/;
const LITTER = /(^|\/)(\.[^/]*|__MACOSX(\/.*)?|Thumbs\.db|desktop\.ini)$/;

const UNITS = ["B", "kB", "MB", "GB"];
export function size(bytes) {
  let unit = 0;
  while (bytes >= 999.5 && unit < UNITS.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit && bytes < 99.5 ? bytes.toFixed(1) : Math.round(bytes)} ${UNITS[unit]}`;
}

export const nameOf = (path) => path.split("/").pop();
const folderOf = (path) => path.split("/").slice(0, -1).join("/");

/** [{file, path}] of a file input; files of a chosen folder keep their path in it. */
export function chosenIn(input) {
  return [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

/** [{file, path}] of what was dropped, folders with everything in them. */
export async function droppedIn(transfer) {
  const roots = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!roots.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((done, fail) => entry.file(done, fail));
      found.push({ file, path: entry.fullPath.replace(/^\//, "") });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      // A reader hands out a hundred entries at a time.
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) return;
      for (const inner of some) await walk(inner);
    }
  };
  for (const root of roots) await walk(root);
  return found;
}

/**
 * What of `entries` is worth sending, as the server would pick: {kept, left, fault}. A trainer's folder has optimizer
 * states and checkpoints beside the adapter, many times its size.
 */
export function pick(entries) {
  const usable = entries.filter((entry) => !LITTER.test(entry.path));
  const configs = usable.filter((entry) => nameOf(entry.path) === CONFIG);
  if (!configs.length) return { kept: usable, left: [], fault: "" };
  const depth = Math.min(...configs.map((entry) => entry.path.split("/").length));
  const shallow = configs.filter((entry) => entry.path.split("/").length === depth);
  if (shallow.length > 1) {
    const found = shallow.slice(0, 4).map((entry) => folderOf(entry.path) || "the top folder").join(", ");
    return { kept: [], left: [], fault: `There are several adapters: ${found}. Choose the files of one.` };
  }
  const folder = folderOf(shallow[0].path);
  const inside = usable.filter((entry) => folderOf(entry.path) === folder);
  const tensors = inside.filter((entry) => /\.safetensors$/i.test(entry.path));
  const named = tensors.filter((entry) => nameOf(entry.path) === WEIGHTS);
  const weights = named.length ? named : tensors;
  const kept = inside.filter((entry) => {
    const name = nameOf(entry.path).toLowerCase();
    if (entry === shallow[0] || name === "readme.md" || weights.includes(entry) || name.endsWith(".zip")) return true;
    // Without other weights the server says how to convert these.
    return !tensors.length && /^adapter_model/.test(name) && PICKLE.test(name);
  });
  return { kept, left: usable.filter((entry) => !kept.includes(entry)), fault: "" };
}

/** What is certainly wrong is said before a byte is sent; the server has the last word. */
export function faultOf(entries, limit) {
  const names = entries.map((entry) => nameOf(entry.path).toLowerCase());
  const total = entries.reduce((sum, entry) => sum + entry.file.size, 0);
  if (total > limit) return `These files have ${size(total)} together; ${size(limit)} are allowed.`;
  if (names.length === 1 && names[0].endsWith(".zip")) return "";
  if (!names.some((name) => name.endsWith(".safetensors") || PICKLE.test(name)))
    return `${WEIGHTS} is missing. Choose both files together, or one zip.`;
  if (!names.some((name) => name.endsWith(".json"))) return `${CONFIG} is missing. Choose both files together, or one zip.`;
  return "";
}

const SAMPLES = 16;
const SAMPLE_BYTES = 32768;

/** Size, time of the last change and a hash of samples from all over the file: quick, and enough to tell files apart. */
export async function fingerprint(file) {
  let low = 0x811c9dc5;
  let high = 0xcbf29ce4;
  const step = Math.max(SAMPLE_BYTES, Math.floor((file.size - SAMPLE_BYTES) / (SAMPLES - 1)));
  for (let start = 0; start < file.size; start += step) {
    const bytes = new Uint8Array(await file.slice(start, start + SAMPLE_BYTES).arrayBuffer());
    for (const byte of bytes) {
      low = Math.imul(low ^ byte, 0x01000193) >>> 0;
      high = Math.imul(high ^ byte ^ (low & 0xff), 0x01000193) >>> 0;
    }
  }
  const hex = (value) => value.toString(16).padStart(8, "0");
  return `${file.size}-${file.lastModified}-${hex(high)}${hex(low)}`;
}
