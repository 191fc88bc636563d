// Lanes, workers, and what the autoscaler decided.

import { get, root } from "./api.js";
import { byId, h, keyed, progressBar, setCells, setText } from "./dom.js";
import { FleetCourseCard } from "./fleet_course.js";
import { ago, bytes, count, duration, moment, of } from "./format.js";
import { live } from "./live.js";

const MOST_SHOWN = 16; // slots of a worker whose work is shown
const AGAIN_MS = 5000; // workers come and go without a job's change

function makeRow(numbers) {
  return () => {
    const row = h("tr");
    numbers.forEach((number, index) => row.append(h(index ? "td" : "th", { scope: index ? undefined : "row", class: number ? "lepton-number" : "" })));
    return row;
  };
}

function showLanes(lanes) {
  const make = (lane) => {
    const row = makeRow([0, 1, 1, 1, 0, 1, 1])();
    row.bar = progressBar(`Busy slots of ${lane.lane}`);
    row.cells[4].append(row.bar);
    return row;
  };
  keyed(byId("lanes").tBodies[0], lanes, (lane) => lane.lane, make, (row, lane) => {
    setText(row.cells[0], lane.lane);
    setText(row.cells[1], count(lane.jobs));
    setText(row.cells[2], count(lane.blocks));
    setText(row.cells[3], duration(lane.work_s));
    row.bar.show(lane.slots ? lane.busy_slots / lane.slots : 0, `${count(lane.busy_slots)} of ${count(lane.slots)}`, "running");
    setText(row.cells[5], duration(lane.oldest_s));
    row.cells[5].classList.toggle("lepton-bad", lane.oldest_s > lane.target_wait_s);
    setText(row.cells[6], duration(lane.target_wait_s));
  });
}

function showWorkers(workers) {
  const make = (worker) => {
    const row = makeRow([0, 0, 0, 1, 0])();
    row.bar = progressBar(`Busy slots of ${worker.worker}`);
    row.cells[1].append(row.bar);
    row.work = h("ul", { class: "lepton-plain lepton-current" });
    row.cells[4].append(row.work);
    return row;
  };
  const makeWork = (work) => h("li", {}, h("a", { href: `${root}/job/${encodeURIComponent(work.job)}` }, work.job), h("span", { class: "lepton-note" }));
  keyed(byId("workers").tBodies[0], workers, (worker) => worker.worker, make, (row, worker) => {
    setText(row.cells[0], worker.worker);
    const busy = worker.busy_slots;
    row.bar.show(worker.slots ? (busy ?? 0) / worker.slots : 0, `${count(busy)} of ${count(worker.slots)}`, "running");
    setText(row.cells[2], worker.lanes.join(", "));
    setText(row.cells[3], bytes(worker.memory_bytes));
    const shown = worker.current.slice(0, MOST_SHOWN);
    keyed(row.work, shown.map((work, index) => ({ ...work, key: `${index} ${work.job}` })), (work) => work.key, makeWork, (item, work) => {
      const what = work.blocks ? of(work.blocks, "block") : "merge";
      setText(item.lastChild, ` stage ${work.stage}: ${what}${work.for_s === null ? "" : ` for ${duration(work.for_s)}`}`);
    });
    const more = worker.current.length - shown.length;
    row.work.dataset.more = more > 0 ? `and ${count(more)} more` : "";
  });
}

const courses = new FleetCourseCard();

async function refresh() {
  const [fleet, course] = await Promise.all([get("/fleet"), get("/fleet/course")]);
  courses.show(course);
  setText(byId("workers-count"), count(fleet.workers.length));
  setText(byId("busy"), `${count(fleet.busy_slots)} of ${count(fleet.slots)}`);
  setText(byId("blocks"), count(fleet.lanes.reduce((sum, lane) => sum + lane.blocks, 0)));
  setText(byId("oldest"), duration(Math.max(0, ...fleet.lanes.map((lane) => lane.oldest_s))));
  showLanes(fleet.lanes);
  showWorkers(fleet.workers);
  byId("no-workers").hidden = fleet.workers.length > 0;
  byId("no-decisions").hidden = fleet.decisions.length > 0;
  const rows = byId("decisions").tBodies[0];
  keyed(rows, fleet.decisions.map((one, index) => ({ ...one, key: `${one.at} ${one.by} ${index}` })), (one) => one.key, makeRow([0, 1, 1, 1, 0, 0]), (row, one) => {
    setCells(row, [one.at ? ago(one.at) : "", count(one.ready), count(one.busy), count(one.desired), one.reason, one.events.join(", ")]);
    row.cells[0].title = `${moment(one.at)}, ${one.by}`;
  });
}

const watch = live(refresh);
setInterval(() => document.hidden || watch.now(), AGAIN_MS);
