// One job.

import { get, post, root } from "./api.js";
import { distinct } from "./colours.js";
import { CourseCard } from "./course.js";
import { badge, byId, h, keyed, progressBar, setText } from "./dom.js";
import { ago, bytes, count, duration, moment, of, percent, rate, size } from "./format.js";
import { live } from "./live.js";
import { MapCard } from "./map_card.js";
import { TimelineChart } from "./timeline.js";

const page = byId("job");
const job = encodeURIComponent(page.dataset.job);
const mayChange = page.dataset.mayChange === "yes";
const map = new MapCard(job, async (region) => {
  byId("picture").scrollIntoView({ block: "nearest" });
  await (await pictures()).frameRegion(region);
});
const courses = new CourseCard();
const chart = new TimelineChart(byId("timeline-canvas"), byId("timeline-story"));

function showHead({ summary: row, predicted_s: predicted, filled, retried, failure }) {
  setText(byId("title"), row.title || row.job);
  document.title = `${row.title || row.job} · Flower`;
  if (byId("state").dataset.state !== row.state) {
    byId("state").dataset.state = row.state;
    byId("state").replaceChildren(badge(row.state));
  }
  const parts = [row.rank ? `lane ${row.lane}, rank ${row.rank}` : `lane ${row.lane}`, row.tenant && `tenant ${row.tenant}`, row.owner && `owner ${row.owner}`, `submitted ${ago(row.created_at)}`];
  setText(byId("about"), parts.filter(Boolean).join(" · "));
  setText(byId("progress"), percent(row.progress));
  setText(byId("progress-note"), row.state === "done" ? of(row.stages, "stage") : `stage ${row.stage} of ${row.stages}: ${count(row.blocks_done)} of ${of(row.blocks, "block")}`);
  setText(byId("remaining"), duration(row.remaining_s));
  setText(byId("rate"), row.blocks_per_s === null ? "" : `${rate(row.blocks_per_s)} blocks per second`);
  setText(byId("took-label"), row.finished_at ? "Took" : "Running for");
  setText(byId("took"), duration(row.took_s));
  setText(byId("took-note"), predicted === null ? "" : `predicted: ${duration(predicted)}`);
  const lost = row.filled_blocks + retried.length + (failure ? 1 : 0);
  setText(byId("lost"), count(lost));
  byId("lost-card").classList.toggle("metric-card-danger", lost > 0);
  const notes = [row.filled_blocks && `${count(row.filled_blocks)} given up`, retried.length && `${count(retried.length)} to be tried again`, failure && "one failed", row.lost_attempts && of(row.lost_attempts, "lost attempt")];
  setText(byId("lost-note"), notes.filter(Boolean).join(", "));
  byId("waits").hidden = !row.waits_for || row.state !== "running";
  setText(byId("waits"), row.waits_for);
  const to = (other) => h("a", { href: `${root}/job/${encodeURIComponent(other)}` }, other);
  byId("links").hidden = !row.retry_of && !row.retried_as;
  byId("links").replaceChildren(
    ...(row.retry_of ? [h("span", {}, "This job repeats job ", to(row.retry_of))] : []),
    ...(row.retried_as ? [h("span", {}, "Job ", to(row.retried_as), " repeats this one")] : []),
  );
  showActions(row);
  showAgain(row, filled);
}

const isOpen = (state) => state === "running" || state === "paused";

function showActions({ state }) {
  const allowed = { pause: state === "running", resume: state === "paused", retry: state === "failed" || state === "cancelled", cancel: isOpen(state) };
  byId("actions").hidden = !mayChange || !Object.values(allowed).some(Boolean);
  for (const button of byId("actions").children) button.hidden = !allowed[button.dataset.action];
}

/** Blocks that were given up can be done after all until what follows uses them; then only the whole job can. */
function showAgain(row, filled) {
  const used = isOpen(row.state) && !filled.some((block) => block.stage === row.stage);
  byId("again").hidden = !filled.length || row.state === "failed" || row.state === "cancelled";
  byId("again-button").hidden = !mayChange || used;
  setText(byId("again-button"), isOpen(row.state) ? "Try again" : "Do the job again");
  setText(byId("again-note"), used
    ? `What follows has used ${filled.length === 1 ? "the block that was" : "the blocks that were"} given up. When the job has ended, all of it can be done again.`
    : `${of(row.filled_blocks, "block")} of this job ${row.filled_blocks === 1 ? "was" : "were"} given up, and filled with a value.`);
}

function pixels({ start, stop }) {
  return `pixels [${start.map((from, axis) => `${from}:${stop[axis]}`).join(", ")}]`;
}

function trouble(block, what, reason) {
  const click = () => map.find(block.stage, block.block).catch(() => {});
  return h("li", {},
    h("p", {}, `${what}: stage ${block.stage}, block ${count(block.block)}, ${pixels(block)}`, block.attempts ? `, ${of(block.attempts, "lost attempt")} ` : " ",
      h("button", { type: "button", class: "btn btn-sm btn-outline-secondary", on: { click } }, "Show in the map")),
    reason ? h("pre", { class: "detail-code", tabindex: 0 }, reason) : null,
    block.traceback ? h("details", {}, h("summary", {}, "Traceback"), h("pre", { class: "detail-code", tabindex: 0 }, block.traceback)) : null);
}

let errorsShown = "";
function showErrors({ summary: row, failure, filled, retried, warnings }) {
  const key = JSON.stringify([row.error, failure, filled, retried, warnings]);
  if (key === errorsShown) return;
  errorsShown = key;
  const items = [
    failure ? trouble(failure, "Failed", failure.reason || row.error) : row.error ? h("li", {}, h("pre", { class: "detail-code", tabindex: 0 }, row.error)) : null,
    ...filled.map((block) => trouble(block, "Given up and filled", block.reason)),
    ...retried.map((block) => trouble(block, "To be tried again", block.reason)),
    ...warnings.map((text) => h("li", {}, h("p", {}, `Warning: ${text}`))),
  ].filter(Boolean);
  byId("errors").hidden = !items.length;
  byId("errors").querySelector(".lepton-card-body").replaceChildren(h("ul", { class: "lepton-troubles" }, items));
}

/** A bar for an actual time with a mark at the predicted one. */
function compared(actual, predicted, longest) {
  const at = (seconds) => `${Math.min(100, (100 * seconds) / (longest || 1))}%`;
  const bar = h("div", { class: "lepton-compare", "aria-hidden": "true" });
  if (actual !== null) bar.append(h("div", { class: "lepton-actual" }));
  if (actual !== null) bar.firstChild.style.width = at(actual);
  if (predicted !== null) {
    const mark = h("div", { class: "lepton-predicted" });
    mark.style.left = at(predicted);
    bar.append(mark);
  }
  return h("div", {}, bar, h("div", {}, duration(actual)), h("div", { class: "lepton-note" }, predicted === null ? "" : `predicted: ${duration(predicted)}`));
}

function makeStage(stage) {
  const row = h("tr");
  for (let i = 0; i < 8; i++) row.append(h(i ? "td" : "th", { scope: i ? undefined : "row", class: i >= 6 ? "lepton-number" : "" }));
  const swatch = h("span", { class: "lepton-swatch", "aria-hidden": "true" });
  swatch.style.background = distinct(stage.stage - 1);
  row.cells[0].append(swatch, h("span"), h("div", { class: "lepton-note" }));
  row.bar = progressBar(`Stage ${stage.stage}`);
  row.cells[2].append(row.bar);
  return row;
}

function showStages({ stages }) {
  const longest = (what) => Math.max(...stages.flatMap((stage) => [stage.actual[what] ?? 0, stage.predicted[what] ?? 0]));
  const kinds = ["elapsed_s", "computing_s", "communicating_s"];
  const most = { elapsed_s: longest("elapsed_s"), computing_s: Math.max(longest("computing_s"), longest("communicating_s")) };
  most.communicating_s = most.computing_s;
  keyed(byId("stages").tBodies[0], stages, (stage) => stage.stage, makeStage, (row, stage) => {
    const cells = row.cells;
    const [, name, about] = cells[0].children;
    setText(name, `${stage.stage}: ${stage.work.join(", ") || "copy"}`);
    setText(about, `${size(stage.shape)} pixels in blocks of ${size(stage.block_shape)}${stage.round > 1 ? `, round ${stage.round}` : ""}`);
    if (cells[1].dataset.state !== stage.state) {
      cells[1].dataset.state = stage.state;
      cells[1].replaceChildren(badge(stage.state));
    }
    row.bar.show(stage.blocks ? stage.blocks_done / stage.blocks : 1, `${count(stage.blocks_done)} of ${of(stage.blocks, "block")}`, stage.state);
    kinds.forEach((kind, index) => cells[3 + index].replaceChildren(compared(stage.actual[kind], stage.predicted[kind], most[kind])));
    setText(cells[6], bytes(stage.read_bytes));
    setText(cells[7], bytes(stage.write_bytes));
  });
  const legend = stages.map((stage) => {
    const swatch = h("span", { class: "lepton-swatch", "aria-hidden": "true" });
    swatch.style.background = distinct(stage.stage - 1);
    return h("span", { class: "lepton-legend-item" }, swatch, `Stage ${stage.stage}`);
  });
  byId("timeline-legend").replaceChildren(...legend.slice(0, 16), h("span", { class: "lepton-note" }, "The filled part of a bar is the share of its time spent computing; thin grey bars are merges; gaps are waiting."));
}

const list = (texts) => h("ul", { class: "lepton-plain" }, texts.map((text) => h("li", {}, text)));
let originShown = "";
function showOrigin(view) {
  const facts = [
    ["Job", view.summary.job],
    ["Outputs", list(view.outputs)],
    ["Inputs", Object.keys(view.inputs).length ? list(Object.entries(view.inputs).map(([path, identity]) => (identity ? `${path} (${identity})` : path))) : "None: the image comes with the job"],
    ["Work", list(view.stages.map((stage) => `${stage.stage}: ${stage.work.join(", ") || "copy"}`))],
    ["Plan", `for ${of(view.workers, "worker process", "worker processes")}; figures of the prediction: ${view.figures || "none"}`],
    ["Versions", list(Object.entries(view.versions).map(([name, version]) => `${name} ${version}`))],
    ["Submitted", moment(view.summary.created_at)],
    ["Finished", view.summary.finished_at ? moment(view.summary.finished_at) : "not yet"],
  ];
  const key = JSON.stringify([view.outputs, view.inputs, view.versions, view.summary.finished_at]);
  if (key === originShown) return;
  originShown = key;
  byId("origin").replaceChildren(...facts.map(([name, value]) => h("div", { class: "detail-row" }, h("dt", {}, name), h("dd", {}, value))));
}

let viewer = null;
/** The viewer of pictures, which is loaded when it is first needed: pages of which only the top is read cost no picture. */
const pictures = () => (viewer ??= import("./picture_viewer.js").then(async ({ PictureViewer }) => {
  const made = new PictureViewer(byId("picture"), { base: `${root}/lepton/v1`, job: page.dataset.job });
  await made.open();
  return made;
}));
new IntersectionObserver(([entry], observer) => {
  if (!entry.isIntersecting) return;
  observer.disconnect();
  pictures();
}, { rootMargin: "200px" }).observe(byId("picture"));

async function refresh() {
  const view = await get(`/jobs/${job}`);
  state = view.summary.state;
  showHead(view);
  showErrors(view);
  showStages(view);
  showOrigin(view);
  await Promise.all([map.show(view), get(`/jobs/${job}/timeline`).then((found) => chart.show(found))]);
  viewer?.then((made) => made.refresh());
  courses.show(await get(`/jobs/${job}/course`));
}

const TOLD = {
  blocks: ({ blocks }) => `${of(blocks, "block")} ${blocks === 1 ? "is" : "are"} done after all.`,
  resumed: ({ blocks }) => `The job goes on: ${of(blocks, "block")} of its stage ${blocks === 1 ? "is" : "are"} to be done.`,
};

async function act(action) {
  const buttons = [...byId("actions").children, byId("again-button")];
  for (const button of buttons) button.disabled = true;
  byId("told").hidden = true;
  try {
    const done = await post(`/jobs/${job}/${action}`);
    if (done.what && done.job !== page.dataset.job) return location.assign(`${root}/job/${encodeURIComponent(done.job)}`);
    byId("told").hidden = !done.what;
    setText(byId("told"), TOLD[done.what]?.(done) ?? "");
    await watch.now();
  } catch (error) {
    byId("trouble").hidden = false;
    setText(byId("trouble"), error.message);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

/** Act when the question in a dialog was answered with yes; Escape says no. */
function ask(action) {
  const dialog = byId(`confirm-${action}`);
  for (const button of dialog.querySelectorAll("button")) {
    button.onclick = () => {
      dialog.close();
      if (button.dataset.answer === "yes") act(action);
    };
  }
  dialog.showModal();
}

let state = "";
const retry = () => (isOpen(state) || state === "failed" ? act("retry") : ask("retry"));
for (const button of byId("actions").children) {
  const { action } = button.dataset;
  button.addEventListener("click", () => (action === "cancel" ? ask("cancel") : action === "retry" ? retry() : act(action)));
}
byId("again-button").addEventListener("click", retry);
new MutationObserver(() => chart.draw()).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });

const watch = live(refresh, (changed) => changed === page.dataset.job);
