// Lines over a picture: the grid of blocks, and a frame around one block.

const LEAST_BLOCK_PX = 7;

export class PictureOverlay {
  /** @param canvas lies over the viewer; `viewer` is OpenSeadragon's. */
  constructor(canvas, viewer) {
    this.canvas = canvas;
    this.viewer = viewer;
    this.grid = null; // height and width of blocks in pixels of the picture
    this.box = null; // left, top, width and height of a frame in pixels of the picture
    for (const event of ["update-viewport", "resize", "open"]) viewer.addHandler(event, () => this.draw());
  }

  /** Show the grid of blocks and a frame, both on a picture of this width; null for none. */
  show(width, grid, box) {
    [this.width, this.grid, this.box] = [width, grid, box];
    this.draw();
  }

  draw() {
    const { canvas, viewer } = this;
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, w, h);
    if (!this.width || !viewer.viewport || !(this.grid || this.box)) return;
    const bounds = viewer.viewport.getBoundsNoRotate(true);
    const scale = w / bounds.width / this.width; // pixels of the screen for one of the picture
    const [left, top] = [bounds.x * this.width, bounds.y * this.width];
    if (this.grid) this.#lines(context, scale, left, top);
    if (this.box) {
      const [x, y, width, height] = this.box;
      const frame = [(x - left) * scale, (y - top) * scale, width * scale, height * scale];
      for (const [colour, line] of [["rgb(0 0 0 / 80%)", 5], ["#ffd43b", 2.5]]) {
        context.strokeStyle = colour;
        context.lineWidth = line * ratio;
        context.strokeRect(...frame);
      }
    }
  }

  #lines(context, scale, left, top) {
    const ratio = window.devicePixelRatio || 1;
    const { rows, columns, height, width } = this.grid;
    if (Math.min(rows, columns) * scale < LEAST_BLOCK_PX * ratio) return;
    const [w, h] = [context.canvas.width, context.canvas.height];
    const [x0, x1] = [Math.max(0, -left * scale), Math.min(w, (width - left) * scale)];
    const [y0, y1] = [Math.max(0, -top * scale), Math.min(h, (height - top) * scale)];
    context.beginPath();
    for (let x = Math.max(0, Math.ceil(left / columns)) * columns; x <= width && (x - left) * scale <= w; x += columns) {
      const at = Math.round((x - left) * scale) + 0.5;
      context.moveTo(at, y0);
      context.lineTo(at, y1);
    }
    for (let y = Math.max(0, Math.ceil(top / rows)) * rows; y <= height && (y - top) * scale <= h; y += rows) {
      const at = Math.round((y - top) * scale) + 0.5;
      context.moveTo(x0, at);
      context.lineTo(x1, at);
    }
    for (const [colour, line] of [["rgb(0 0 0 / 45%)", 2], ["rgb(255 255 255 / 70%)", 1]]) {
      context.strokeStyle = colour;
      context.lineWidth = line * ratio;
      context.stroke();
    }
  }
}
