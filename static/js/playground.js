// Streams every column from the REST API. Without scripts the form posts to the page itself.
const form = document.getElementById("play");
const prompt = document.getElementById("prompt");
const ask = document.getElementById("ask");
const stop = document.getElementById("stop");
const status = document.getElementById("play-status");
const promptFault = document.getElementById("prompt-fault");
const expected = document.getElementById("expected");
let controller = null;

const ENDINGS = { stop: "ended by itself", length: "cut at the limit", cancelled: "stopped", deadline: "out of time" };

function sampling() {
  const found = {};
  for (const name of ["max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed"]) {
    const value = form.elements[name].value.trim();
    if (value !== "") found[name] = Number(value);
  }
  return found;
}

function fail(column, message) {
  const fault = column.querySelector("[data-fault]");
  fault.hidden = !message;
  fault.textContent = message;
}

/** Yields [event, data] pairs of a server-sent stream read by fetch. */
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      let name = "message";
      let data = "";
      for (const line of block.split("\n")) {
        if (line.startsWith("event: ")) name = line.slice(7);
        else if (line.startsWith("data: ")) data += line.slice(6);
      }
      if (data) yield [name, JSON.parse(data)];
    }
  }
}

async function run(column, signal) {
  const answer = column.querySelector("[data-answer]");
  const facts = column.querySelector("[data-facts]");
  answer.textContent = "";
  facts.textContent = "Waiting";
  fail(column, "");
  column.setAttribute("aria-busy", "true");
  const body = {
    prompt: prompt.value,
    sampling: sampling(),
    members: column.dataset.member ? [{ adapter: column.dataset.member, weight: 1 }] : [],
  };
  if (form.dataset.base) body.base = form.elements.base?.value || form.dataset.base;
  if (column.dataset.format) body.prompt_format = JSON.parse(column.dataset.format);
  let first = 0;
  let tokens = 0;
  try {
    const response = await fetch(form.dataset.api, {
      method: "POST",
      signal,
      headers: {
        "Content-Type": "application/json",
        Accept: "text/event-stream",
        "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
      },
      body: JSON.stringify(body),
    });
    if (!response.ok) {
      const envelope = await response.json().catch(() => ({}));
      throw new Error(envelope.message || `The site answered with status ${response.status}. Try again in a moment.`);
    }
    for await (const [name, data] of eventsOf(response)) {
      if (name === "token") {
        first ||= performance.now();
        tokens += 1;
        // Answers begin with a space after the prompt's last word.
        answer.append(answer.textContent ? (data.text ?? "") : (data.text ?? "").trimStart());
        facts.textContent = `${tokens} tokens`;
      } else if (name === "done") {
        const rate = tokens > 1 ? `, ${((tokens - 1) / ((performance.now() - first) / 1000)).toFixed(0)} tokens/s` : "";
        const count = data.completion_tokens ?? tokens;
        facts.textContent = `${count} tokens, ${ENDINGS[data.finish_reason] || "done"}${rate}`;
        const wanted = expected && !expected.hidden ? expected.querySelector("b").textContent.trim() : "";
        if (wanted && answer.textContent.trim() === wanted) {
          const mark = document.createElement("span");
          mark.className = "match";
          mark.textContent = "as expected";
          facts.append(" ", mark);
        }
      } else if (name === "error") {
        facts.textContent = "";
        fail(column, data.error || "The generation failed.");
      }
    }
  } catch (error) {
    if (error.name === "AbortError") facts.textContent = `${tokens} tokens, stopped`;
    else {
      facts.textContent = "";
      fail(column, error instanceof TypeError ? "The connection broke. Ask again." : error.message);
    }
  } finally {
    column.removeAttribute("aria-busy");
  }
}

form.addEventListener("submit", async (event) => {
  const button = event.submitter;
  if (button?.dataset.prompt !== undefined) {
    event.preventDefault();
    prompt.value = button.dataset.prompt;
    if (expected) {
      expected.hidden = !button.dataset.expected;
      expected.querySelector("b").textContent = button.dataset.expected;
    }
    prompt.focus();
    return;
  }
  if (button?.formMethod === "get" || !ask) return;
  event.preventDefault();
  promptFault.hidden = Boolean(prompt.value.trim());
  promptFault.textContent = promptFault.hidden ? "" : "Write a prompt.";
  if (!promptFault.hidden) { prompt.focus(); return; }
  controller = new AbortController();
  ask.hidden = true;
  stop.hidden = false;
  status.textContent = "Asking";
  const columns = [...form.querySelectorAll(".col")];
  await Promise.all(columns.map((column) => run(column, controller.signal)));
  ask.hidden = false;
  stop.hidden = true;
  status.textContent = "All answers are complete";
});
stop?.addEventListener("click", () => controller?.abort());
prompt.addEventListener("input", () => { if (expected) expected.hidden = true; });
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) form.requestSubmit(ask ?? undefined);
});
