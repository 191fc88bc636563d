// A figure with lines over time, drawn by uPlot (in vendor/), in the colours of the page. The text below tells the values under the
// pointer; for those who cannot see the figure there is a table beside it.

import { setText } from "./dom.js";

const HEIGHT = 170;

/** Loads uPlot when a figure is first shown, so that nothing else waits for it. */
const loaded = () => (loaded.once ??= new Promise((resolve, reject) => {
  const home = new URL("vendor/uplot/", import.meta.url);
  const style = document.createElement("link");
  Object.assign(style, { rel: "stylesheet", href: new URL("uPlot.min.css", home) });
  const script = document.createElement("script");
  Object.assign(script, { src: new URL("uPlot.iife.min.js", home), onload: resolve, onerror: () => reject(new Error("uPlot cannot be loaded")) });
  document.head.append(style, script);
}));

const times = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const days = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** Moments as times of day, with the day where it is another one. */
function clock(moments) {
  let before = "";
  return moments.map((seconds) => {
    const [time, day] = [times, days].map((format) => format.format(new Date(1000 * seconds)));
    const isNew = day !== before;
    before = day;
    return isNew ? `${time}\n${day}` : time;
  });
}

export class Plot {
  /**
   * `moment` makes a text of a moment, `value` of a value, `story` is the element below the figure, and figures with the same `sync`
   * show the same moment.
   */
  constructor(element, { moment, value, story, sync, isClock = false }) {
    Object.assign(this, { element, moment, value, story, sync, isClock, shape: "" });
    new ResizeObserver(() => this.plot && requestAnimationFrame(() => this.plot.setSize({ width: this.#width(), height: HEIGHT }))).observe(element);
    new MutationObserver(() => this.plot && this.#draw(true)).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  }

  /**
   * Show series of values at moments: each with a label, a colour (a function, as the theme may change), and options. `stepped` is 1 if
   * a value holds until the next moment, and -1 if it holds since the one before.
   */
  show(moments, series, summary) {
    Object.assign(this, { moments, series, summary });
    this.element.setAttribute("aria-label", summary);
    if (typeof this.plot?.cursor.idx !== "number") setText(this.story, summary);
    loaded().then(() => this.#draw(false));
  }

  #width() {
    return Math.max(240, this.element.clientWidth);
  }

  #draw(isNew) {
    if (!this.moments) return;
    const data = [this.moments, ...this.series.map((one) => one.values)];
    const shape = JSON.stringify(this.series.map((one) => one.label));
    if (!isNew && this.plot && shape === this.shape) return this.plot.setData(data);
    this.shape = shape;
    this.plot?.destroy();
    this.plot = new window.uPlot(this.#options(), data, this.element);
    this.plot.root.querySelector("canvas").setAttribute("aria-hidden", "true");
  }

  #options() {
    const style = getComputedStyle(this.element);
    const axis = { stroke: style.color, font: `12px ${style.fontFamily}`, grid: { stroke: style.borderTopColor, width: 1 }, ticks: { show: false } };
    return {
      width: this.#width(),
      height: HEIGHT,
      legend: { show: false },
      padding: [8, 16, 0, 0],
      scales: { x: { time: this.isClock }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.05)] } },
      axes: [
        { ...axis, space: 90, size: this.isClock ? 42 : 28, values: (_, at) => (this.isClock ? clock(at) : at.map(this.moment)) },
        { ...axis, size: 64, space: 30, values: (_, values) => values.map((v) => (Number.isInteger(v) ? this.value(v) : "")) },
      ],
      series: [{}, ...this.series.map((one) => this.#line(one))],
      cursor: { sync: this.sync ? { key: this.sync } : undefined, points: { size: 7 }, drag: { x: false, y: false } },
      hooks: { setCursor: [(plot) => this.#tell(plot)] },
    };
  }

  #line({ label, colour, fill, stepped, dash, width }) {
    const stroke = colour();
    return {
      label, stroke, width: width ?? 2, dash, points: { show: false }, spanGaps: false,
      fill: fill ? `color-mix(in srgb, ${stroke} 25%, transparent)` : undefined,
      paths: stepped ? window.uPlot.paths.stepped({ align: stepped }) : undefined,
    };
  }

  #tell({ cursor: { idx } }) {
    if (idx === null || idx === undefined) return setText(this.story, this.summary);
    const told = this.series.map(({ label, values }) => [label, values[idx]]).filter(([, value]) => value !== null && value !== undefined);
    setText(this.story, `${this.moment(this.moments[idx])}: ${told.map(([label, value]) => `${label} ${this.value(value)}`).join(", ") || "nothing known"}`);
  }
}
