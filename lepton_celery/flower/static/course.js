// The course of a job: how many blocks of each stage were left, and how many slots were busy, over time.

import { distinct } from "./colours.js";
import { byId, h, keyed, setCells } from "./dom.js";
import { count, duration, of } from "./format.js";
import { Plot } from "./plot.js";

const MOST_ROWS = 20;
const slots = (value) => (Number.isInteger(value) ? count(value) : value.toFixed(1));

/** The values of a stage at all moments of the job. */
function whole(stage, values, moments) {
  const found = new Array(moments).fill(null);
  values.forEach((value, index) => (found[stage.first + index] = value));
  return found;
}

const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0);

export class CourseCard {
  constructor() {
    const moment = (s) => (s ? duration(s) : "0");
    this.left = new Plot(byId("course-left"), { moment, value: count, story: byId("course-left-story"), sync: "course" });
    this.busy = new Plot(byId("course-busy"), { moment, value: slots, story: byId("course-busy-story"), sync: "course" });
  }

  show({ times, stages }) {
    byId("course").hidden = !stages.length;
    if (!stages.length) return;
    const series = (what, options) => stages.map((stage) => ({
      label: `stage ${stage.stage}`, colour: () => distinct(stage.stage - 1), values: whole(stage, stage[what], times.length), ...options,
    }));
    const left = stages[stages.length - 1].left.at(-1);
    const busy = mean(stages.flatMap((stage) => stage.busy));
    const most = Math.max(0, ...stages.flatMap((stage) => stage.busy));
    this.left.show(times, series("left", { fill: true }), `${of(left, "block")} of stage ${stages[stages.length - 1].stage} ${left === 1 ? "is" : "are"} left.`);
    this.busy.show(times, series("busy", { fill: true, stepped: -1 }), `${slots(busy)} slots were busy on average, ${slots(most)} at most.`);
    this.#table(times, stages);
  }

  #table(times, stages) {
    const every = Math.max(1, Math.ceil(times.length / MOST_ROWS));
    const rows = stages.flatMap((stage) => stage.left
      .map((left, index) => ({ key: `${stage.stage} ${stage.first + index}`, at: times[stage.first + index], stage: stage.stage, left, busy: stage.busy[index], index: stage.first + index }))
      .filter((row, index, all) => row.index % every === 0 || index === all.length - 1));
    keyed(byId("course-table").tBodies[0], rows, (row) => row.key, () => h("tr"), (tr, row) => {
      setCells(tr, [row.at ? duration(row.at) : "0 s", count(row.stage), count(row.left), slots(row.busy)]);
      [...tr.cells].forEach((cell) => (cell.className = "lepton-number"));
    });
  }
}
