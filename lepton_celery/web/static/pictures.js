/* Shows the blocks of a job as they are done, and its image before and after:
<lepton-map job="ID" api="/lepton"></lepton-map> and <lepton-compare job="ID" api="/lepton"></lepton-compare>. */

import { ask, ENDED, Feed } from "./job.js";

const MAP_MS = 700;
const MOST_PX = 1024; // of a picture's longer side
const COLOURS = { waits: "#e4e8ed", sent: "#c9d8ea", worked_on: "#f2b705", tried: "#e07b39", done: "#2f9e5b", filled: "#b06fd6", failed: "#b3261e" };

const blocksOf = text => Uint8Array.from(atob(text), one => one.charCodeAt(0));

class LeptonMap extends HTMLElement {
  connectedCallback() {
    this.job = this.getAttribute("job");
    this.api = this.getAttribute("api");
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.replaceChildren(this.canvas);
    Feed.of(this.api).add(this);
  }

  disconnectedCallback() {
    Feed.of(this.api).remove(this);
  }

  draw(row) {
    if (ENDED.has(row.state)) Feed.of(this.api).remove(this);
    this.hasChanged = true;
    if (!this.isAsking) this.follow();
  }

  say() {} // the element lepton-job tells of errors

  /* Ask for the blocks until they have not changed since. */
  async follow() {
    this.isAsking = true;
    while (this.hasChanged && this.isConnected) {
      this.hasChanged = false;
      try {
        const { grid, names, states, counts, stage } = await ask(`${this.api}/jobs/${encodeURIComponent(this.job)}/blocks?layer=states`);
        this.show(grid, names, blocksOf(states));
        this.canvas.setAttribute("aria-label", `Stage ${stage}: ${counts.done ?? 0} blocks are done`);
      } catch { /* the next change asks again */ }
      await new Promise(later => setTimeout(later, MAP_MS));
    }
    this.isAsking = false;
  }

  show(grid, names, states) {
    const columns = grid.at(-1) || 1, rows = Math.ceil(states.length / columns) || 1;
    const side = Math.max(1, Math.floor(Math.min(480 / columns, 240 / rows, 40))), gap = side > 4 ? 1 : 0;
    this.canvas.width = columns * side;
    this.canvas.height = rows * side;
    const context = this.canvas.getContext("2d");
    states.forEach((state, index) => {
      context.fillStyle = COLOURS[names[state]] || "#8a94a3";
      context.fillRect((index % columns) * side, Math.floor(index / columns) * side, side - gap, side - gap);
    });
  }
}

async function picture(path, name) {
  const about = await ask(`${path}/pictures/${name}`);
  let level = 0;
  while (level + 1 < about.levels && Math.max(about.width, about.height) / 2 ** level > MOST_PX) level += 1;
  const width = Math.ceil(about.width / 2 ** level), height = Math.ceil(about.height / 2 ** level), side = about.square_px;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d"), loading = [];
  for (let row = 0; row * side < height; row += 1) {
    for (let column = 0; column * side < width; column += 1) {
      const image = new Image();
      image.src = `${path}/pictures/${name}/tile?level=${level}&column=${column}&row=${row}`;
      loading.push(image.decode().then(() => context.drawImage(image, column * side, row * side)));
    }
  }
  await Promise.all(loading);
  return canvas;
}

class LeptonCompare extends HTMLElement {
  async connectedCallback() {
    const job = this.getAttribute("job"), path = `${this.getAttribute("api")}/jobs/${encodeURIComponent(job)}`;
    try {
      const { pictures } = await ask(`${path}/pictures`);
      const before = pictures.find(one => one.role === "input"), afters = pictures.filter(one => one.role === "output");
      if (!before || !afters.length) return;
      const choice = document.createElement("select");
      choice.setAttribute("aria-label", "Result");
      choice.append(...afters.map(one => new Option(one.title, one.picture)));
      choice.addEventListener("change", () => this.compare(path, before.picture, choice));
      this.replaceChildren(choice);
      await this.compare(path, before.picture, choice);
    } catch (error) {
      this.replaceChildren(error.message);
    }
  }

  async compare(path, before, choice) {
    this.removeAttribute("ready");
    const [first, second] = await Promise.all([before, choice.value].map(name => picture(path, name)));
    const stack = document.createElement("div"), slider = document.createElement("input");
    stack.className = "lepton-stack";
    second.className = "lepton-after";
    Object.assign(slider, { type: "range", min: 0, max: 100, value: 50 });
    slider.setAttribute("aria-label", "From before to after");
    slider.addEventListener("input", () => stack.style.setProperty("--lepton-split", `${slider.value}%`));
    stack.append(first, second);
    this.replaceChildren(choice, stack, slider);
    this.setAttribute("ready", "");
  }
}

for (const [name, made] of [["lepton-map", LeptonMap], ["lepton-compare", LeptonCompare]]) {
  if (!customElements.get(name)) customElements.define(name, made);
}
