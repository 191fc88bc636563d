// The course of the fleet: depth of its lanes and its slots, at the moments at which autoscalers noted what they saw.

import { distinct } from "./colours.js";
import { byId, h, keyed, setCells } from "./dom.js";
import { count, duration, moment, of } from "./format.js";
import { Plot } from "./plot.js";

const MOST_ROWS = 50;
const SLOTS = [["ready", "slots", 1], ["busy", "busy", 2], ["desired", "wanted", 0]];

export class FleetCourseCard {
  constructor() {
    const options = { moment, sync: "fleet", isClock: true, value: count };
    this.depth = new Plot(byId("depth"), { ...options, story: byId("depth-story") });
    this.wait = new Plot(byId("wait"), { ...options, value: duration, story: byId("wait-story") });
    this.slots = new Plot(byId("slots"), { ...options, story: byId("slots-story") });
  }

  show({ times, lanes, ...slots }) {
    byId("course").hidden = times.length < 2;
    if (times.length < 2) return;
    const span = `${of(times.length, "moment")} within ${duration(times.at(-1) - times[0])}`;
    const legend = (names) => names.map(([name, colour]) => {
      const swatch = h("span", { class: "lepton-swatch", "aria-hidden": "true" });
      swatch.style.background = distinct(colour);
      return h("span", { class: "lepton-legend-item" }, swatch, name);
    });
    byId("depth-legend").replaceChildren(...legend(lanes.map(({ lane }, index) => [lane, index])));
    byId("slots-legend").replaceChildren(...legend(SLOTS.map(([, label, colour]) => [label, colour])));
    const of_lanes = (what) => lanes.map((lane, index) => ({ label: lane.lane, colour: () => distinct(index), values: lane[what], stepped: 1 }));
    this.depth.show(times, of_lanes("blocks"), `Blocks to do, by lane: ${span}.`);
    this.wait.show(times, of_lanes("oldest_s"), `How long the oldest waiting work had waited, by lane: ${span}.`);
    this.slots.show(times, SLOTS.map(([what, label, colour]) => ({
      label, colour: () => distinct(colour), values: slots[what], stepped: 1, fill: what === "busy", dash: what === "desired" ? [6, 4] : undefined,
    })), `Slots: ${span}.`);
    this.#table(times, lanes, slots);
  }

  #table(times, lanes, { ready, busy, desired }) {
    const heads = ["When", ...lanes.flatMap(({ lane }) => [`${lane}: blocks`, `${lane}: oldest wait`]), "Slots", "Busy", "Wanted"];
    keyed(byId("course-table").tHead.rows[0], heads, (text) => text, (text) => h("th", { scope: "col", class: text === "When" ? "" : "lepton-number" }, text), () => {});
    const last = times.map((at, index) => ({ at, index })).slice(-MOST_ROWS).reverse();
    keyed(byId("course-table").tBodies[0], last, ({ at, index }) => `${at} ${index}`, () => h("tr"), (row, { at, index }) => {
      setCells(row, [moment(at), ...lanes.flatMap((lane) => [count(lane.blocks[index]), duration(lane.oldest_s[index])]), count(ready[index]), count(busy[index]), count(desired[index])]);
      [...row.cells].slice(1).forEach((cell) => (cell.className = "lepton-number"));
    });
  }
}
