// The block map on a canvas: each screen pixel looks up its block, so a million blocks cost no more than a hundred.

import { rgba } from "./colours.js";

const MOST_MARKS = 5000;
const GAP_PX = 6; // blocks of this size are drawn with gaps
const MARK_PX = 5; // a marked block is drawn at least this large

/** The axes that the map shows, as rows and columns, and the others, of which it shows one plane. */
export function axesOf(shape, grid) {
  const axes = shape.map((_, axis) => axis);
  const last = shape.length - 1;
  const shown = axes.filter((axis) => !(shape.length > 2 && axis === last && shape[last] <= 4)); // not the channels
  const columns = shown[shown.length - 1];
  const rows = shown.length > 1 ? shown[shown.length - 2] : null;
  return { rows, columns, others: axes.filter((axis) => axis !== rows && axis !== columns && grid[axis] > 1) };
}

export class BlockMap {
  /**
   * @param canvas where the map is drawn.
   * @param pointed is called with the block under the pointer or the cursor, and whether it is kept; null for none.
   */
  constructor(canvas, pointed) {
    this.canvas = canvas;
    this.pointed = pointed;
    this.context = canvas.getContext("2d", { alpha: false });
    this.colours = new Uint32Array(0);
    this.marks = [];
    this.grid = null;
    this.kept = null;
    this.under = null;
    this.frame = 0;
    new ResizeObserver(() => requestAnimationFrame(() => this.resize())).observe(canvas.parentElement);
    this.#listen();
  }

  /** Show another grid: the shape of its image and of its blocks, and the number of blocks along each axis. */
  setGrid(shape, blockShape, grid) {
    const { rows, columns, others } = axesOf(shape, grid);
    const strides = grid.map((_, axis) => grid.slice(axis + 1).reduce((product, length) => product * length, 1));
    const along = (axis) => axis === null || axis === undefined
      ? { length: 1, block: 1, count: 1, stride: 0 }
      : { length: Math.max(1, shape[axis]), block: Math.max(1, blockShape[axis]), count: grid[axis], stride: strides[axis] };
    this.grid = { x: along(columns), y: along(rows), others, strides, counts: grid, plane: {} };
    if (rows === null) this.grid.y.length = this.grid.y.block = Math.max(1, this.grid.x.length / 12);
    this.kept = this.under = null;
    this.fitted = true;
    this.resize();
  }

  /** Show another plane: the position along one of the axes that are neither rows nor columns. */
  setPlane(axis, position) {
    this.grid.plane[axis] = position;
    this.draw();
  }

  /** Colour the blocks, and mark those that must be seen however small they are. */
  setColours(colours, marks) {
    this.colours = colours;
    this.marks = marks.slice(0, MOST_MARKS);
    this.draw();
  }

  resize() {
    if (!this.grid) return;
    const width = this.canvas.parentElement.clientWidth;
    const { x, y } = this.grid;
    const height = Math.round(Math.min(Math.max(160, (width * y.length) / x.length), Math.min(560, 0.7 * innerHeight)));
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      [this.canvas.width, this.canvas.height] = [w, h];
      this.canvas.style.height = `${height}px`;
      this.pixels = this.context.createImageData(w, h);
      this.words = new Uint32Array(this.pixels.data.buffer);
    }
    if (this.fitted) this.showAll();
    else this.draw();
  }

  /** Show the whole image. */
  showAll() {
    const { x, y } = this.grid;
    this.scale = this.#least();
    this.left = (x.length - this.canvas.width / this.scale) / 2;
    this.top = (y.length - this.canvas.height / this.scale) / 2;
    this.fitted = true;
    this.canvas.style.touchAction = "pan-y";
    this.draw();
  }

  #least() {
    const { x, y } = this.grid;
    return Math.min(this.canvas.width / x.length, this.canvas.height / y.length);
  }

  /** Zoom by a factor, keeping the pixel of the canvas where it is; about the middle if none is given. */
  zoom(factor, px = this.canvas.width / 2, py = this.canvas.height / 2) {
    const { x, y } = this.grid;
    const most = Math.max(this.#least(), this.canvas.width / (2 * x.block), this.canvas.height / (2 * y.block));
    const scale = Math.min(most, this.scale * factor);
    if (scale <= this.#least() * 1.001) return this.showAll();
    const [ix, iy] = [this.left + px / this.scale, this.top + py / this.scale];
    this.scale = scale;
    this.#place(ix - px / scale, iy - py / scale);
  }

  /** Move the image by pixels of the canvas. */
  pan(dx, dy) {
    if (!this.fitted) this.#place(this.left - dx / this.scale, this.top - dy / this.scale);
  }

  #place(left, top) {
    const within = (at, length, shown) =>
      shown >= length ? (length - shown) / 2 : Math.min(Math.max(at, 0), length - shown);
    this.left = within(left, this.grid.x.length, this.canvas.width / this.scale);
    this.top = within(top, this.grid.y.length, this.canvas.height / this.scale);
    this.fitted = false;
    this.canvas.style.touchAction = "none";
    this.draw();
  }

  /** Keep a block, show its plane, and bring it into view. */
  keep(block) {
    this.kept = block;
    if (block !== null) {
      const { x, y, others } = this.grid;
      for (const axis of others) this.grid.plane[axis] = this.#position(block, axis);
      const [col, row] = this.#cell(block);
      const [px, py] = [(col + 0.5) * x.block, (row + 0.5) * y.block];
      const [w, h] = [this.canvas.width / this.scale, this.canvas.height / this.scale];
      const outside = px < this.left || px > this.left + w || py < this.top || py > this.top + h;
      if (!this.fitted && outside) this.#place(px - w / 2, py - h / 2);
    }
    this.draw();
    this.pointed(block, true);
  }

  #position(block, axis) {
    return Math.floor(block / this.grid.strides[axis]) % this.grid.counts[axis];
  }

  #cell(block) {
    const { x, y } = this.grid;
    return [Math.floor(block / x.stride) % x.count, y.stride ? Math.floor(block / y.stride) % y.count : 0];
  }

  #first() {
    const { others, strides, plane } = this.grid;
    return others.reduce((sum, axis) => sum + strides[axis] * (plane[axis] ?? 0), 0);
  }

  #inPlane(block) {
    return this.grid.others.every((axis) => this.#position(block, axis) === (this.grid.plane[axis] ?? 0));
  }

  /** The block at a pixel of the canvas; null outside of the image. */
  blockAt(px, py) {
    if (!this.grid) return null;
    const { x, y } = this.grid;
    const [ix, iy] = [this.left + px / this.scale, this.top + py / this.scale];
    if (ix < 0 || iy < 0 || ix >= x.length || iy >= y.length) return null;
    const [col, row] = [Math.min(x.count - 1, Math.floor(ix / x.block)), Math.min(y.count - 1, Math.floor(iy / y.block))];
    return this.#first() + row * y.stride + col * x.stride;
  }

  draw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.#paint());
  }

  /** For each pixel along an axis, the offset of its block; -1 for a gap or the outside. */
  #offsets(pixels, start, { length, block, count, stride }) {
    const offsets = new Int32Array(pixels).fill(-1);
    const gaps = block * this.scale >= GAP_PX;
    let before = -1;
    for (let i = 0; i < pixels; i++) {
      const at = start + (i + 0.5) / this.scale;
      if (at < 0 || at >= length) continue;
      const index = Math.min(count - 1, Math.floor(at / block));
      if (!gaps || index === before) offsets[i] = index * stride;
      before = index;
    }
    return offsets;
  }

  #paint() {
    this.frame = 0;
    if (!this.grid || !this.pixels) return;
    const { width, height } = this.canvas;
    const style = getComputedStyle(this.canvas);
    const empty = rgba(style.backgroundColor);
    const xs = this.#offsets(width, this.left, this.grid.x);
    const ys = this.#offsets(height, this.top, this.grid.y);
    const first = this.#first();
    const { words, colours } = this;
    for (let j = 0, at = 0; j < height; j++) {
      if (ys[j] < 0) {
        words.fill(empty, at, (at += width));
        continue;
      }
      const base = first + ys[j];
      for (let i = 0; i < width; i++, at++) words[at] = xs[i] < 0 ? empty : (colours[base + xs[i]] ?? empty);
    }
    this.context.putImageData(this.pixels, 0, 0);
    for (const [block, colour] of this.marks) if (this.#inPlane(block)) this.#mark(block, colour);
    this.#outline(this.under, style.color, 1);
    this.#outline(this.kept, style.color, 2);
  }

  #box(block) {
    const { x, y } = this.grid;
    const [col, row] = this.#cell(block);
    return [
      (col * x.block - this.left) * this.scale,
      (row * y.block - this.top) * this.scale,
      (Math.min(x.length, (col + 1) * x.block) - col * x.block) * this.scale,
      (Math.min(y.length, (row + 1) * y.block) - row * y.block) * this.scale,
    ];
  }

  #mark(block, colour) {
    const [left, top, w, h] = this.#box(block);
    if (w >= MARK_PX && h >= MARK_PX) return;
    const [mw, mh] = [Math.max(w, MARK_PX), Math.max(h, MARK_PX)];
    this.context.fillStyle = colour;
    this.context.fillRect(left + (w - mw) / 2, top + (h - mh) / 2, mw, mh);
  }

  #outline(block, colour, width) {
    if (block === null || block >= this.colours.length || !this.#inPlane(block)) return;
    const ratio = window.devicePixelRatio || 1;
    const [left, top, w, h] = this.#box(block);
    const grown = Math.max(0, (8 * ratio - Math.min(w, h)) / 2);
    this.context.strokeStyle = colour;
    this.context.lineWidth = width * ratio;
    this.context.strokeRect(left - grown, top - grown, w + 2 * grown, h + 2 * grown);
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  #listen() {
    const { canvas } = this;
    const fingers = new Map();
    let from = null;
    let moved = false;
    const span = () => {
      const [[ax, ay], [bx, by]] = fingers.values();
      return { x: (ax + bx) / 2, y: (ay + by) / 2, length: Math.max(1, Math.hypot(ax - bx, ay - by)) };
    };
    const lift = (event) => {
      fingers.delete(event.pointerId);
      from = null;
    };
    canvas.addEventListener("wheel", (event) => {
      if (!this.grid || (event.deltaY > 0 && this.fitted)) return; // the page scrolls
      event.preventDefault();
      const pixels = event.deltaMode === 1 ? 33 * event.deltaY : event.deltaY;
      this.zoom(Math.exp(-Math.min(Math.max(pixels, -200), 200) / 300), ...this.#at(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      from = this.#at(event);
      moved = fingers.size > 0;
      if (event.pointerType === "touch") fingers.set(event.pointerId, from);
      if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const at = this.#at(event);
      if (fingers.size === 2 && fingers.has(event.pointerId)) {
        const before = span();
        fingers.set(event.pointerId, at);
        const after = span();
        this.pan(after.x - before.x, after.y - before.y);
        this.zoom(after.length / before.length, after.x, after.y);
        return;
      }
      if (from && Math.hypot(at[0] - from[0], at[1] - from[1]) > (moved ? 0 : 4)) {
        this.pan(at[0] - from[0], at[1] - from[1]);
        from = at;
        moved = true;
        return;
      }
      this.#over(this.blockAt(...at));
    });
    canvas.addEventListener("pointerup", (event) => {
      if (from && !moved) this.keep(this.blockAt(...this.#at(event)));
      lift(event);
    });
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("pointerleave", () => this.#over(null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #over(block) {
    if (block === this.under) return;
    this.under = block;
    this.draw();
    if (this.kept === null) this.pointed(block, false);
  }

  #key(event) {
    if (!this.grid || event.ctrlKey || event.metaKey || event.altKey) return;
    const { x, y } = this.grid;
    const step = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) {
      const [col, row] = this.kept === null ? [-1, 0] : this.#cell(this.kept);
      const [dx, dy] = this.kept === null ? [1, 0] : moves[event.key];
      const at = (value, count) => Math.min(Math.max(value, 0), count - 1);
      this.keep(this.#first() + at(row + dy, y.count) * y.stride + at(col + dx, x.count) * x.stride);
    } else if (event.key === "+" || event.key === "=" || event.key === "-") {
      const box = this.kept === null ? null : this.#box(this.kept);
      const about = box ? [box[0] + box[2] / 2, box[1] + box[3] / 2] : [];
      this.zoom(event.key === "-" ? 1 / 1.5 : 1.5, ...about);
    } else if (event.key === "0") this.showAll();
    else if (event.key === "Escape") this.keep(null);
    else return;
    event.preventDefault();
  }
}
