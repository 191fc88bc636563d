/* Shows jobs as they go on: <lepton-job job="ID" api="/lepton" csrf="TOKEN"></lepton-job>.

All jobs of a page share one stream of events. While it is silent, the jobs are asked for again and again. Each change is
an event of the page too: element.addEventListener("lepton-job", event => event.detail) gives the job as the API lists it. */

const HELLO_MS = 5000; // a stream that has not begun by then is held back by a proxy
const POLL_MS = 1500;
export const ENDED = new Set(["done", "failed", "cancelled", "damaged"]);
const WORDS = { running: "Running", paused: "Paused", done: "Done", failed: "Failed", cancelled: "Cancelled", damaged: "Damaged" };

export const size = bytes => {
  const unit = ["bytes", "kB", "MB", "GB"].findIndex((_, index) => bytes < 1000 ** (index + 1) || index === 3);
  return `${(bytes / 1000 ** unit).toLocaleString("en", { maximumFractionDigits: unit && 1 })} ${["bytes", "kB", "MB", "GB"][unit]}`;
};

export const lasting = seconds => {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
};

/* Asks the API; throws an Error with its reason. */
export async function ask(url, { method = "GET", csrf = "", body } = {}) {
  const headers = { ...(csrf && { "X-CSRFToken": csrf }), ...(body && { "Content-Type": "application/json" }) };
  let response;
  try {
    response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("The server does not answer.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error?.message || `The server answered ${response.status}.`);
  return answer;
}

function made(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/* The jobs of a page that one API knows. An element has a `job`, and is told of it with `draw`, and of errors with `say`. */
export class Feed {
  static #all = new Map();

  static of(api) {
    if (!Feed.#all.has(api)) Feed.#all.set(api, new Feed(api));
    return Feed.#all.get(api);
  }

  constructor(api) {
    this.api = api;
    this.elements = new Set();
    this.isLive = false;
  }

  add(element) {
    this.elements.add(element);
    this.refresh(element);
    if (!this.source) this.listen();
    this.timer ??= setInterval(() => this.poll(), POLL_MS);
  }

  remove(element) {
    this.elements.delete(element);
    if (this.elements.size) return;
    this.source?.close();
    clearInterval(this.timer);
    this.source = this.timer = undefined;
    this.isLive = false;
  }

  listen() {
    const source = this.source = new EventSource(`${this.api}/changes`);
    const late = setTimeout(() => source.close(), HELLO_MS);
    source.addEventListener("hello", () => {
      clearTimeout(late);
      this.isLive = true;
      for (const element of this.elements) this.refresh(element);
    });
    source.addEventListener("error", () => { this.isLive = false; });
    source.addEventListener("message", event => {
      const { jobs } = JSON.parse(event.data);
      for (const element of this.elements) {
        if (jobs === null || jobs === undefined) this.refresh(element);
        else if (jobs[element.job]) element.draw(jobs[element.job]);
      }
    });
  }

  poll() {
    if (this.isLive) return;
    for (const element of this.elements) this.refresh(element);
  }

  async refresh(element) {
    try {
      element.draw((await ask(`${this.api}/jobs/${encodeURIComponent(element.job)}`)).summary);
    } catch (error) {
      element.say(error.message);
    }
  }
}

class LeptonJob extends HTMLElement {
  connectedCallback() {
    this.job = this.getAttribute("job");
    this.api = this.getAttribute("api");
    this.csrf = this.getAttribute("csrf") || "";
    this.state = made("strong", { class: "lepton-state" }, this.textContent.trim());
    this.about = made("span", { class: "lepton-about" });
    this.bar = made("progress", { max: 1, value: 0, "aria-label": "Progress" });
    this.error = made("p", { class: "lepton-error", role: "alert" });
    this.results = made("ul", { class: "lepton-results" });
    this.cancel = this.button("Cancel", "cancel");
    this.retry = this.button("Try again", "retry");
    const line = made("p", { class: "lepton-line", "aria-live": "polite" }, this.state, " ", this.about);
    this.replaceChildren(line, this.bar, this.error, this.results, this.cancel, this.retry);
    for (const hidden of [this.error, this.results, this.cancel, this.retry]) hidden.hidden = true;
    Feed.of(this.api).add(this);
  }

  disconnectedCallback() {
    Feed.of(this.api).remove(this);
  }

  button(text, action) {
    const button = made("button", { type: "button" }, text);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const answer = await ask(`${this.api}/jobs/${encodeURIComponent(this.job)}/${action}`, { method: "POST", csrf: this.csrf });
        if (answer.job !== this.job) {
          this.job = answer.job; // tried again as another job
          this.setAttribute("job", this.job);
        }
        const feed = Feed.of(this.api);
        feed.add(this);
      } catch (error) {
        this.say(error.message);
      }
      button.disabled = false;
    });
    return button;
  }

  say(message) {
    this.error.textContent = message;
    this.error.hidden = !message;
  }

  draw(row) {
    const hasEnded = ENDED.has(row.state);
    this.dataset.state = row.state;
    this.state.textContent = WORDS[row.state] || row.state;
    this.about.textContent = hasEnded ? `after ${lasting(row.took_s)}` : [
      `${Math.round(row.progress * 100)} %`,
      row.remaining_s === null ? "" : `about ${lasting(row.remaining_s)} left`,
      row.waits_for ? `waits for ${row.waits_for}` : "",
    ].filter(Boolean).join(", ");
    this.bar.value = row.progress;
    this.bar.hidden = hasEnded;
    this.say(row.error);
    this.cancel.hidden = hasEnded;
    this.retry.hidden = !(row.state === "failed" || row.state === "cancelled" || row.filled_blocks > 0);
    if (row.state === "done" && this.listed !== this.job) this.list();
    if (hasEnded) Feed.of(this.api).remove(this);
    this.dispatchEvent(new CustomEvent("lepton-job", { bubbles: true, detail: row }));
  }

  async list() {
    this.listed = this.job;
    const path = `${this.api}/jobs/${encodeURIComponent(this.job)}/results`;
    try {
      const { results } = await ask(path);
      this.results.replaceChildren(...results.map(({ name, bytes }) => made("li", {},
        made("a", { href: `${path}/${encodeURIComponent(name)}`, download: name }, name), ` ${size(bytes)}`)));
      this.results.hidden = !results.length;
    } catch (error) {
      this.listed = null;
      this.say(error.message);
    }
  }
}

if (!customElements.get("lepton-job")) customElements.define("lepton-job", LeptonJob);
