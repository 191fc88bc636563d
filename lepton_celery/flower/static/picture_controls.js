// What is chosen of a job's pictures: which two, how they are shown, their channel and planes.

import { h, keyed, setText } from "./dom.js";

const LOOKS = [["", "Automatic"], ["grey", "Grey"], ["labels", "Labels"], ["colours", "Colours"]];
const ZOOMS = [["in", "+", "Zoom in"], ["out", "−", "Zoom out"], ["pixels", "1:1", "1:1, one pixel of the picture for each of the screen"], ["all", "Whole picture", ""]];

let made = 0;

export class PictureControls {
  /** `chosen`, `zoom` and `grid` are called when the user chooses pictures, a zoom, or the grid of blocks. */
  constructor({ chosen, zoom, grid }) {
    this.id = `picture-${++made}`;
    this.chosen = chosen;
    this.titles = new Map();
    this.selects = { before: this.#select("before", "Before"), after: this.#select("after", "After") };
    this.looks = { before: this.#select("before-look", "Shown as", LOOKS), after: this.#select("after-look", "Shown as", LOOKS) };
    this.channels = this.#select("channel", "Channel");
    this.planesBox = h("div", { class: "lepton-planes" });
    this.gridBox = h("input", { type: "checkbox", class: "form-check-input", id: `${this.id}-grid`, on: { change: grid } });
    const gridLabel = h("label", { class: "form-check-label", for: `${this.id}-grid` }, "Grid of blocks");
    this.gridField = h("div", { class: "form-check lepton-picture-grid" }, this.gridBox, gridLabel);
    const zooms = ZOOMS.map(([how, text, label]) => h("button", { type: "button", class: "btn btn-outline-secondary", "data-picture-zoom": how, "aria-label": label || undefined, title: label || undefined, on: { click: () => zoom(how) } }, text));
    const fields = [this.selects.before, this.looks.before, this.selects.after, this.looks.after, this.channels].map((select) => select.field);
    this.element = h("div", { class: "lepton-controls" }, ...fields, this.planesBox, this.gridField,
      h("div", { class: "btn-group btn-group-sm lepton-zoom", role: "group", "aria-label": "Zoom of the picture" }, zooms));
    this.channels.field.hidden = true;
  }

  #select(name, label, options = []) {
    const id = `${this.id}-${name}`;
    const select = h("select", { class: "form-select form-select-sm", id, on: { change: () => this.chosen() } }, options.map(([value, text]) => h("option", { value }, text)));
    select.field = h("div", {}, h("label", { class: "form-label", for: id }, label), select);
    return select;
  }

  /** The pictures that can be chosen. */
  list(pictures) {
    this.titles = new Map(pictures.map((one) => [one.picture, one.title]));
    const options = () => pictures.map((one) => h("option", { value: one.picture, title: one.path }, `${one.role === "input" ? "Input" : "Output"}: ${one.title}`));
    const [first] = pictures;
    const output = pictures.find((one) => one.role === "output");
    this.selects.before.replaceChildren(...options());
    this.selects.after.replaceChildren(...options());
    this.selects.before.value = first.picture;
    this.selects.after.value = (output ?? first).picture;
    const single = pictures.length === 1;
    for (const which of [this.selects.after, this.looks.after]) which.field.hidden = single;
    if (single) setText(this.selects.before.field.firstChild, "Picture");
    this.single = single;
  }

  title(picture) {
    return this.titles.get(picture) ?? picture;
  }

  /** The picture of a side and how it is shown; null for what is not chosen. */
  choice(which) {
    if (which === "after" && (this.single || this.selects.after.value === this.selects.before.value)) return [null, null];
    return [this.selects[which].value, this.looks[which].value || null];
  }

  get channel() {
    return this.channels.value === "" ? null : Number(this.channels.value);
  }

  get grid() {
    return this.gridBox.checked;
  }

  set hasGrid(has) {
    this.gridField.hidden = !has;
  }

  /** Show selectors for the channels and planes that the pictures have. */
  describe(...views) {
    const known = views.filter(Boolean);
    const most = Math.max(0, ...known.map((view) => view.channels));
    const colours = known.some((view) => view.has_colours);
    const options = [...(colours ? [["", "Colours"]] : []), ...Array.from({ length: most }, (_, channel) => [String(channel), String(channel)])];
    if (options.length !== this.channels.options.length) this.channels.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
    this.channels.field.hidden = most < 2;
    const planes = new Map(known.flatMap((view) => view.planes).filter((plane) => plane.length > 1).map((plane) => [keyOf(plane), plane]));
    keyed(this.planesBox, [...planes.values()], keyOf, (plane) => this.#slider(plane), () => {});
    for (const [which, view] of [["before", views[0]], ["after", views[1]]]) {
      for (const option of this.looks[which].options) {
        option.disabled = Boolean(view) && ((option.value === "colours" && !view.has_colours) || (option.value === "labels" && /float|complex/.test(view.dtype)));
      }
    }
  }

  #slider(plane) {
    const id = `${this.id}-plane-${keyOf(plane)}`;
    const output = h("output", { for: id }, plane.plane);
    const input = h("input", { id, type: "range", class: "form-range", min: 0, max: plane.length - 1, value: plane.plane });
    input.addEventListener("input", () => {
      setText(output, input.value);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.chosen(), 80); // a slider that moves on asks for nothing
    });
    return h("div", {}, h("label", { class: "form-label", for: id }, `${plane.name ? `Axis ${plane.name}` : `Axis ${plane.axis}`}, plane `, output), input);
  }

  /** The planes of a picture that the sliders say. */
  planes(view) {
    return view.planes.map((plane) => Number(this.#input(plane)?.value ?? plane.plane));
  }

  setPlane(plane, position) {
    const input = this.#input(plane);
    if (!input) return;
    input.value = position;
    setText(input.labels[0].querySelector("output"), input.value);
  }

  #input(plane) {
    return [...this.planesBox.children].find((child) => child.dataset.key === keyOf(plane))?.querySelector("input");
  }
}

/** One slider serves equal axes of both pictures. */
const keyOf = (plane) => `${plane.name || plane.axis}-${plane.length}`;
