// Sends the files of one upload one after the other by tus, and makes an upload of them at the end.
import { size } from "./upload_files.js";

//: Milliseconds between attempts; they begin anew whenever bytes got through. About ten minutes in all.
const DELAYS = [0, 1000, 2000, 4000, 8000, ...Array(38).fill(15000)];
const AGAIN = new Set([0, 408, 409, 423, 429, 500, 502, 503, 504]);

const statusOf = (error) => error.originalResponse?.getStatus() ?? 0;

function wordsOf(error) {
  try { return JSON.parse(error.originalResponse.getBody()).message; } catch { /* no answer, or a proxy's page */ }
  const status = statusOf(error);
  return status ? `The upload failed with status ${status}.` : "The connection broke, and the site does not answer.";
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Bytes per second over the last seconds. */
class Pace {
  marks = [];
  add(sent) {
    const now = performance.now();
    this.marks.push([now, sent]);
    while (this.marks.length > 2 && now - this.marks[0][0] > 5000) this.marks.shift();
  }
  get rate() {
    if (this.marks.length < 2) return 0;
    const [[from, first], [to, last]] = [this.marks[0], this.marks.at(-1)];
    return to - from > 300 ? ((last - first) * 1000) / (to - from) : 0;
  }
}

/**
 * Items are {path, length, sent, id, file, fingerprint, done}; `file` is missing for those that arrived whole before.
 * `on` has `item(item, words)` for a file's progress, `state(state, words)` for the whole, and `made(upload)`.
 * States: sending, waiting (for the connection), paused, failed, making.
 */
export class Transfer {
  constructor({ items, group, api, csrf, on }) {
    Object.assign(this, { items, group, api, csrf, on });
    this.state = "paused";
    this.current = null;
  }

  start() {
    this._to("sending");
    this._next();
  }

  async pause() {
    const item = this.items.find((one) => !one.done);
    this._to("paused");
    await this.current?.abort();
    if (item) this.on.item(item, `Paused at ${size(item.sent)}`);
  }

  /** Stop and delete what arrived. */
  async cancel() {
    this._to("cancelled");
    await this.current?.abort();
    await Promise.all(this.items.filter((item) => item.id).map((item) => this._discard(item.id)));
  }

  /** For the browser's own news that it is connected again. */
  retry() {
    if (this.state === "failed" && this.offline) this.start();
  }

  _to(state, words = "") {
    this.state = state;
    this.on.state(state, words);
  }

  async _discard(id) {
    // A piece under way is noticed as broken off a moment later; until then its file is locked.
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const answer = await this._call("DELETE", `${this.api}tus/${id}/`, null, { "Tus-Resumable": "1.0.0" });
      if (answer?.status !== 423) return;
      await new Promise((done) => setTimeout(done, 400));
    }
  }

  async _call(method, address, body, headers = {}) {
    const sent = { "X-CSRFToken": this.csrf, Accept: "application/json", ...headers };
    return fetch(address, { method, body, headers: sent }).catch(() => null);
  }

  _next() {
    if (this.state !== "sending") return;
    const item = this.items.find((one) => !one.done);
    if (!item) {
      this._make();
      return;
    }
    const pace = new Pace();
    const upload = new tus.Upload(item.file, {
      endpoint: `${this.api}tus/`,
      uploadUrl: item.id ? `${this.api}tus/${item.id}/` : null,
      metadata: { filename: item.path, group: this.group, fingerprint: item.fingerprint },
      headers: { "X-CSRFToken": this.csrf, Accept: "application/json" },
      // The site itself lists what is unfinished, for every browser.
      storeFingerprintForResuming: false,
      retryDelays: DELAYS,
      onShouldRetry: (error) => this._mayRetry(error),
      onUploadUrlAvailable: () => { item.id = upload.url.split("/").at(-2); },
      onProgress: (sent) => this._progress(item, sent, pace),
      onSuccess: () => {
        Object.assign(item, { done: true, sent: item.length });
        this.on.item(item, "Arrived");
        this._next();
      },
      onError: (error) => this._failed(item, error),
    });
    this.current = upload;
    upload.start();
  }

  _progress(item, sent, pace) {
    if (this.state === "waiting") this._to("sending");
    if (this.state !== "sending") return;
    item.sent = sent;
    pace.add(sent);
    const left = pace.rate ? `, ${size(pace.rate)}/s, ${duration((item.length - sent) / pace.rate)} left` : "";
    this.on.item(item, sent < item.length ? `${size(sent)} of ${size(item.length)}${left}` : "Received. Writing it down.");
  }

  _mayRetry(error) {
    if (!AGAIN.has(statusOf(error))) return false;
    if (this.state === "sending") {
      this._to("waiting", `${wordsOf(error)} Trying again by itself.`);
      const item = this.items.find((one) => !one.done);
      this.on.item(item, `Waiting at about ${size(item.sent)} of ${size(item.length)}`);
    }
    return this.state === "waiting";
  }

  _failed(item, error) {
    if (this.state !== "sending" && this.state !== "waiting") return;
    this.offline = statusOf(error) === 0;
    this.on.item(item, `Stopped at ${size(item.sent)}`);
    this._to("failed", `${wordsOf(error)} What arrived is kept.`);
  }

  async _make() {
    this._to("making");
    const body = JSON.stringify({ parts: this.items.map((item) => item.id) });
    const answer = await this._call("POST", this.api, body, { "Content-Type": "application/json" });
    const made = await answer?.json().catch(() => null);
    if (answer?.status === 201) {
      this.on.made(made);
      return;
    }
    this.offline = !answer;
    this._to("failed", `${made?.message || "The site does not answer."} What arrived is kept.`);
  }
}
