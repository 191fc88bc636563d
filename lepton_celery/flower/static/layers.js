// How a layer of the block map colours its blocks, and the legend that says so.

import { decoded } from "./api.js";
import { distinct, named, ramp, rgba } from "./colours.js";
import { h } from "./dom.js";
import { count, duration, of } from "./format.js";

export const STATE_WORDS = {
  waits: "Not sent yet",
  sent: "Waiting for a worker",
  worked_on: "Being worked on",
  done: "Done",
  filled: "Given up and filled",
  tried: "To be tried again",
  failed: "Failed",
};
const MARKED = ["failed", "filled", "tried"];
const KINDS = { states: Uint8Array, attempts: Uint8Array, seconds: Float32Array, ended: Float32Array, slots: Uint16Array };
const NO_SLOT = 0xffff;
const MOST_SLOTS = 16;

const swatch = (colour, text) => {
  const box = h("span", { class: "lepton-swatch", "aria-hidden": "true" });
  box.style.background = colour;
  return h("span", { class: "lepton-legend-item" }, box, text);
};

/** The colour of each block in a mode, the blocks to mark, and the legend. */
export function layer(mode, found) {
  const states = decoded(found.states, KINDS.states);
  const marks = [];
  const marked = new Map(MARKED.map((name) => [found.names.indexOf(name), named(name)]));
  for (let i = 0; i < states.length && marks.length < 5000; i++) if (marked.has(states[i])) marks.push([i, marked.get(states[i])]);
  if (mode === "states") return { ...ofStates(states, found), marks };
  const values = decoded(found[mode], KINDS[mode]);
  if (mode === "slots") return { ...ofSlots(values, found.slot_names), marks: [] };
  if (mode === "attempts") return { ...ofAttempts(values), marks: [] };
  return { ...ofSeconds(values, mode), marks: [] };
}

function painted(length, colourOf) {
  const colours = new Uint32Array(length);
  for (let i = 0; i < length; i++) colours[i] = colourOf(i);
  return colours;
}

function ofStates(states, found) {
  const table = Uint32Array.from(found.names, (name) => rgba(named(name)));
  const legend = found.names
    .filter((name) => found.counts[name])
    .map((name) => swatch(named(name), `${STATE_WORDS[name] ?? name}: ${count(found.counts[name])}`));
  return { colours: painted(states.length, (i) => table[states[i]]), legend };
}

function ofSlots(slots, names) {
  const none = rgba(named("waits"));
  const table = Uint32Array.from(names, (_, index) => rgba(distinct(index)));
  const legend = names.slice(0, MOST_SLOTS).map((name, index) => swatch(distinct(index), name));
  if (names.length > MOST_SLOTS) legend.push(h("span", {}, `and ${of(names.length - MOST_SLOTS, "other process", "other processes")}`));
  if (slots.includes(NO_SLOT)) legend.push(swatch(named("waits"), "Not known yet"));
  return { colours: painted(slots.length, (i) => (slots[i] === NO_SLOT ? none : (table[slots[i]] ?? none))), legend };
}

function ofAttempts(attempts) {
  let most = 1;
  for (const lost of attempts) if (lost > most) most = lost;
  const table = Uint32Array.from({ length: 256 }, (_, lost) => rgba(lost ? ramp(lost / most) : named("waits")));
  const legend = [swatch(named("waits"), "None")];
  for (const lost of most > 1 ? [1, most] : [1]) legend.push(swatch(ramp(lost / most), count(lost)));
  return { colours: painted(attempts.length, (i) => table[attempts[i]]), legend };
}

function ofSeconds(values, mode) {
  const none = rgba(named("waits"));
  const every = Math.max(1, Math.floor(values.length / 20000));
  const known = values.filter((value, index) => index % every === 0 && Number.isFinite(value)).sort();
  if (!known.length) return { colours: painted(values.length, () => none), legend: [swatch(named("waits"), "Not known yet")] };
  const cut = mode === "seconds" ? 0.02 : 0; // one slow block must not make all others look the same
  const low = known[Math.floor(cut * (known.length - 1))];
  const high = known[Math.ceil((1 - cut) * (known.length - 1))];
  const table = Uint32Array.from({ length: 256 }, (_, i) => rgba(ramp(i / 255)));
  const factor = high > low ? 255 / (high - low) : 0;
  const colourOf = (i) => {
    const value = values[i];
    return value === value ? table[Math.min(255, Math.max(0, Math.round((value - low) * factor)))] : none;
  };
  const bar = h("span", { class: "lepton-ramp", "aria-hidden": "true" });
  bar.style.background = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(ramp).join(", ")})`;
  const [from, to] = mode === "seconds" ? ["", ""] : ["after ", "after "];
  const legend = [h("span", { class: "lepton-legend-item" }, `${from}${duration(low)}`, bar, `${to}${duration(high)}`)];
  if (known.length < Math.ceil(values.length / every)) legend.push(swatch(named("waits"), "Not known yet"));
  return { colours: painted(values.length, colourOf), legend };
}
