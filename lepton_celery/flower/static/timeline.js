// The timeline of a job on a canvas: a row for each worker process, a bar for what it did without a pause.

import { distinct } from "./colours.js";
import { byId, h, keyed, setCells, setText } from "./dom.js";
import { count, duration, of, percent } from "./format.js";

const ROW = 24;
const AXIS = 26;
const MOST_PX = 16000;

function step(length, most) {
  const raw = length / Math.max(1, most);
  const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400];
  return steps.find((one) => one >= raw) ?? 86400 * Math.ceil(raw / 86400);
}

export class TimelineChart {
  constructor(canvas, story) {
    this.canvas = canvas;
    this.story = story;
    this.bars = [];
    new ResizeObserver(() => requestAnimationFrame(() => this.draw())).observe(canvas.parentElement);
    canvas.addEventListener("pointermove", (event) => this.#tell(event));
    canvas.addEventListener("pointerleave", () => setText(this.story, this.summary ?? ""));
  }

  show(found) {
    this.found = found;
    const slots = found.lines.length;
    const busy = found.length_s && slots ? found.busy_s / (found.length_s * slots) : 0;
    this.summary = slots
      ? `${of(slots, "worker process", "worker processes")} worked for ${duration(found.busy_s)} in all, busy for ${percent(Math.min(1, busy))} of the time.`
      : "No worker process has done anything for this job yet.";
    setText(this.story, this.summary);
    this.canvas.setAttribute("aria-label", `What each worker process did when. ${this.summary}`);
    this.#table();
    this.draw();
  }

  draw() {
    const { canvas, found } = this;
    if (!found) return;
    const style = getComputedStyle(canvas);
    const ratio = window.devicePixelRatio || 1;
    const rows = found.lines.length;
    canvas.hidden = !rows;
    if (!rows) return;
    const row = Math.max(4, Math.min(ROW, Math.floor((MOST_PX / ratio - AXIS) / Math.max(1, rows))));
    const width = Math.max(320, canvas.parentElement.clientWidth);
    const height = rows * row + AXIS;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
    const c = canvas.getContext("2d");
    c.scale(ratio, ratio);
    c.font = `12px ${style.fontFamily}`;
    c.textBaseline = "middle";
    const labels = Math.min(width < 600 ? 110 : 240, 16 + Math.max(0, ...found.lines.slice(0, 500).map((line) => c.measureText(line.slot).width)));
    const long = Math.max(found.length_s, 1e-3, ...found.lines.map((line) => line.spans[line.spans.length - 1]?.ended ?? 0));
    const toX = (s) => labels + (Math.max(0, s) / long) * (width - labels - 12);
    this.#axis(c, style, { long, toX, height, width, labels });
    this.bars = [];
    found.lines.forEach((line, index) => {
      const top = index * row;
      if (row >= 12) this.#label(c, style.color, line.slot, labels - 10, top + row / 2);
      for (const span of line.spans) this.#bar(c, style, span, line, toX, top, row);
    });
  }

  #label(c, colour, text, width, y) {
    c.fillStyle = colour;
    c.textAlign = "right";
    let shown = text;
    while (shown.length > 4 && c.measureText(shown).width > width) shown = `…${shown.slice(2)}`;
    c.fillText(shown, width, y);
  }

  #axis(c, style, { long, toX, height, width, labels }) {
    const apart = step(long, Math.max(1, Math.floor((width - labels) / 90)));
    c.strokeStyle = style.borderTopColor;
    c.lineWidth = 1;
    c.fillStyle = style.color;
    c.textAlign = "center";
    for (let s = 0; s <= long * 1.0001; s += apart) {
      const x = Math.round(toX(s)) + 0.5;
      c.beginPath();
      c.moveTo(x, 0);
      c.lineTo(x, height - AXIS + 4);
      c.stroke();
      if (x < width - 24) c.fillText(s ? duration(s) : "0", x, height - AXIS / 2 + 2);
    }
  }

  #bar(c, style, span, line, toX, top, row) {
    const left = toX(span.began);
    const width = Math.max(1, toX(span.ended) - left);
    const inset = row >= 12 ? 3 : 0.5;
    const [y, height] = [top + inset, row - 2 * inset];
    const long = Math.max(1e-9, span.ended - span.began);
    const share = Math.min(1, span.compute_s / long);
    c.fillStyle = span.blocks ? distinct(span.stage - 1) : style.color;
    c.globalAlpha = 0.55;
    c.fillRect(left, y, width, height);
    c.globalAlpha = 1;
    if (span.blocks) c.fillRect(left, y + height * (1 - share), width, height * share);
    else c.fillRect(left, y + height / 3, width, height / 3);
    this.bars.push({ left, right: left + width, top, bottom: top + row, span, line });
  }

  #tell(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const bar = this.bars.find((one) => x >= one.left - 1 && x <= one.right + 1 && y >= one.top && y < one.bottom);
    if (!bar) return setText(this.story, this.summary);
    const { span, line } = bar;
    const what = span.blocks ? of(span.blocks, "block") : "the merge";
    const round = span.round > 0 ? `, round ${span.round + 1}` : "";
    setText(
      this.story,
      `${line.slot}: ${what} of stage ${span.stage}${round}, from ${duration(span.began)} to ${duration(span.ended)}; ` +
        `computed for ${duration(span.compute_s)}, read and wrote for ${duration(span.communication_s)}`,
    );
  }

  #table() {
    const sum = (spans, what) => spans.reduce((total, span) => total + what(span), 0);
    keyed(byId("slots").tBodies[0], this.found.lines, (line) => line.slot, () => h("tr"), (row, line) => {
      setCells(row, [
        line.slot,
        count(sum(line.spans, (s) => s.blocks)),
        duration(sum(line.spans, (s) => s.ended - s.began)),
        duration(sum(line.spans, (s) => s.compute_s)),
        duration(sum(line.spans, (s) => s.communication_s)),
      ]);
      [...row.cells].slice(1).forEach((cell) => (cell.className = "lepton-number"));
    });
  }
}
