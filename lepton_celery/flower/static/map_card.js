// The card with the block map: which stage and layer it shows, its legend, and the story of a block.

import { get } from "./api.js";
import { BlockMap } from "./blockmap.js";
import { byId, h, keyed, setText } from "./dom.js";
import { bytes, count, duration, moment, of } from "./format.js";
import { layer, STATE_WORDS } from "./layers.js";

const PAUSE_MS = 120; // a pointer that moves on asks for no story

export class MapCard {
  /** `inPicture` shows a region of an image of some shape among the pictures. */
  constructor(job, inPicture) {
    this.job = job;
    this.inPicture = inPicture;
    this.chosen = null; // the stage that the user chose; null follows the job
    this.shown = null;
    this.map = new BlockMap(byId("map-canvas"), (block, kept) => this.#point(block, kept));
    byId("map-stage").addEventListener("change", (event) => {
      this.chosen = Number(event.target.value);
      this.#again();
    });
    byId("map-mode").addEventListener("change", () => this.#again());
    for (const button of document.querySelectorAll("[data-zoom]")) {
      const { zoom } = button.dataset;
      button.addEventListener("click", () => (zoom === "all" ? this.map.showAll() : this.map.zoom(zoom === "in" ? 2 : 0.5)));
    }
    new MutationObserver(() => this.#colour()).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    this.#say("Point at a block.");
  }

  /** Show the stages of a job, and the map of the chosen one. */
  async show(view) {
    this.view = view;
    keyed(byId("map-stage"), view.stages, (stage) => stage.stage, (stage) => h("option", { value: stage.stage }), (option, stage) =>
      setText(option, `${stage.stage}: ${stage.work.join(", ") || "copy"}`));
    await this.refresh();
  }

  get stage() {
    return this.chosen ?? this.view.summary.stage;
  }

  #again() {
    if (this.view) this.refresh().catch((error) => this.#say(error.message));
  }

  async refresh() {
    const [stage, mode] = [this.stage, byId("map-mode").value];
    byId("map-stage").value = String(stage);
    const found = await get(`/jobs/${this.job}/blocks`, { stage, layer: mode === "states" ? ["states"] : ["states", mode] });
    if (stage !== this.stage || mode !== byId("map-mode").value) return; // another was chosen meanwhile
    const grid = JSON.stringify([found.stage, found.shape, found.block_shape]);
    if (grid !== this.grid) {
      this.grid = grid;
      this.map.setGrid(found.shape, found.block_shape, found.grid);
      this.#planes(found);
    }
    this.shown = { found, mode };
    this.#colour();
    if (this.map.kept !== null) this.#ask(this.map.kept, 0);
  }

  #colour() {
    if (!this.shown) return;
    const { colours, marks, legend } = layer(this.shown.mode, this.shown.found);
    this.map.setColours(colours, marks);
    byId("map-legend").replaceChildren(...legend);
    const { counts, shape, grid } = this.shown.found;
    const total = grid.reduce((product, length) => product * length, 1);
    byId("map-canvas").setAttribute(
      "aria-label",
      `Block map of stage ${this.shown.found.stage}: ${count(counts.done)} of ${of(total, "block")} done, an image of ${shape.map(count).join(" by ")} pixels`,
    );
  }

  /** Sliders for the axes that are neither rows nor columns. */
  #planes({ grid }) {
    byId("map-planes").replaceChildren(
      ...this.map.grid.others.map((axis) => {
        const id = `map-plane-${axis}`;
        const output = h("output", { for: id }, "0");
        const input = (event) => {
          setText(output, event.target.value);
          this.map.setPlane(axis, Number(event.target.value));
        };
        return h("div", {}, h("label", { class: "form-label", for: id }, `Axis ${axis}, block `, output),
          h("input", { id, type: "range", class: "form-range", min: 0, max: grid[axis] - 1, value: 0, on: { input } }));
      }),
    );
  }

  /** Keep a block of a stage and show it. */
  async find(stage, block) {
    this.chosen = stage;
    await this.refresh();
    byId("map").scrollIntoView({ block: "nearest" });
    this.map.keep(block);
    for (const axis of this.map.grid.others) {
      const input = byId(`map-plane-${axis}`);
      input.value = this.map.grid.plane[axis];
      setText(input.labels[0].querySelector("output"), input.value);
    }
  }

  #point(block, kept) {
    clearTimeout(this.timer);
    this.pointedAt = block;
    if (block === null) this.#say("Point at a block.");
    else this.#ask(block, kept ? 0 : PAUSE_MS);
  }

  #ask(block, afterMs) {
    const stage = this.stage;
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      try {
        const story = await get(`/jobs/${this.job}/block`, { stage, block });
        if (this.pointedAt === block && stage === this.stage) this.#tell(story);
      } catch (error) {
        this.#say(error.message);
      }
    }, afterMs);
  }

  #say(text) {
    byId("story").replaceChildren(h("p", { class: "lepton-note" }, text));
    setText(byId("story-title"), "Block");
  }

  /** The button that shows a block among the pictures. */
  #look({ start, stop }) {
    const { shape } = this.shown.found;
    return h("button", { type: "button", class: "btn btn-sm btn-outline-secondary mt-2", on: { click: () => this.inPicture({ start, stop, shape }) } }, "Show in the picture");
  }

  #tell(story) {
    const region = story.start.map((start, axis) => `${start}:${story.stop[axis]}`).join(", ");
    const facts = [
      ["State", STATE_WORDS[story.state] ?? story.state],
      ["Position", `(${story.position.join(", ")})`],
      ["Pixels", `[${region}]`],
      ["Lost attempts", story.attempts ? count(story.attempts) : null],
      ["Reason", story.reason || null],
      ["Worker", story.owner || story.slot || null],
      ["Since", story.owner && story.since ? moment(story.since) : null],
      ["Took", story.seconds === null ? null : `${duration(story.seconds)}${story.batch_blocks > 1 ? `, on average over ${count(story.batch_blocks)} blocks done together` : ""}`],
      ["Done", story.batch_ended ? moment(story.batch_ended) : null],
      ["Read", story.read_bytes === null ? null : bytes(story.read_bytes)],
      ["Written", story.write_bytes === null ? null : bytes(story.write_bytes)],
    ];
    setText(byId("story-title"), `Block ${count(story.block)}`);
    byId("story").replaceChildren(
      h("dl", { class: "lepton-facts" }, facts.filter(([, text]) => text !== null).flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])),
      this.map.kept === story.block ? this.#look(story) : "",
    );
  }
}
