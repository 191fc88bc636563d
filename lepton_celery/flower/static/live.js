// Keeps a page up to date: Flower says which jobs have changed; where its events do not arrive, the page asks again and again.

import { root } from "./api.js";
import { byId, setText } from "./dom.js";

const APART_MS = 1000; // from one refresh to the next, at least
const POLL_MS = 5000; // where events do not arrive
const SURELY_MS = 30000; // a refresh that no event asked for
const GREET_MS = 8000; // events that do not begin by then are held back by a proxy

/**
 * Refresh a page now, whenever one of its jobs changes, and now and then.
 *
 * @param refresh asks for what the page shows and shows it; what it throws is shown as trouble.
 * @param concerns says whether a job's change concerns the page.
 */
export function live(refresh, concerns = () => true) {
  let events = null;
  let streams = false;
  let polls = false;
  let last = 0;
  let took = 0;
  let timer = 0;
  let running = false;
  let again = false;
  let greet = 0;

  function say(kind, text) {
    byId("live-dot").className = `status-dot ${kind}`;
    setText(byId("live-text"), text);
  }

  function trouble(text) {
    byId("trouble").hidden = !text;
    setText(byId("trouble"), text);
  }

  async function now() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    again = false;
    clearTimeout(timer);
    last = Date.now();
    try {
      await refresh();
      trouble("");
      if (streams) say("status-dot-live", "Live");
      else if (polls) say("status-dot-live", `Checked every ${POLL_MS / 1000} seconds`);
    } catch (error) {
      trouble(error.message);
      say("status-dot-error", "Not up to date");
    } finally {
      running = false;
      took = Date.now() - last;
      soon(again ? apart() : streams ? SURELY_MS : POLL_MS);
    }
  }

  /** Milliseconds from one refresh to the next: more for a page that takes long. */
  const apart = () => Math.max(APART_MS, 4 * took);

  function changed() {
    if (running) again = true;
    else soon(apart());
  }

  /** Ask again and again, since events do not arrive. */
  function poll() {
    streams = false;
    polls = true;
    if (running) again = true;
    else soon(POLL_MS);
  }

  function soon(ms) {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(now, Math.max(0, last + ms - Date.now()));
  }

  function listen() {
    if (!window.EventSource || events) return;
    events = new EventSource(`${root}/lepton/changes`);
    greet = setTimeout(poll, GREET_MS);
    events.addEventListener("hello", () => {
      streams = true;
      clearTimeout(greet);
      changed(); // before the events began
    });
    events.addEventListener("message", (event) => {
      const { jobs, trouble: why } = JSON.parse(event.data);
      if (why) {
        trouble(why);
        say("status-dot-error", "Not up to date");
      } else if (!jobs || jobs.some(concerns)) changed();
    });
    events.addEventListener("error", () => {
      clearTimeout(greet);
      poll();
      if (events?.readyState === EventSource.CLOSED) {
        events = null;
        setTimeout(listen, SURELY_MS);
      }
    });
  }

  function hush() {
    clearTimeout(timer);
    clearTimeout(greet);
    events?.close();
    events = null;
    streams = false;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hush(); // browsers keep few connections to a server; hidden pages need none
    else {
      listen();
      now();
    }
  });
  window.addEventListener("pagehide", hush);
  if (!document.hidden) listen();
  now();
  return { now };
}
