// The pictures of a job: an image before and after in one deep zoom, with a divider between them.
//
// It needs an element, the URL of the API, and the id of a job, and nothing of the page around it.

import { Divider } from "./divider.js";
import { h, setText } from "./dom.js";
import { size } from "./format.js";
import { PictureControls } from "./picture_controls.js";
import { PictureOverlay } from "./picture_overlay.js";
import { PictureSource, reason } from "./picture_source.js";

const LIBRARY = new URL("openseadragon/openseadragon.min.js", import.meta.url);
const MOST_TILES = 30; // of the coarsest level in view; beyond, the page asks to zoom in
const APART_MS = 5000; // from one look at an unfinished picture to the next
const MOST_SCREEN_PX = 32; // for a pixel of the picture
const OPTIONS = {
  drawer: "canvas", showNavigationControl: false, animationTime: 0.3, visibilityRatio: 0.5, constrainDuringPan: true,
  minZoomImageRatio: 0.8, maxZoomPixelRatio: MOST_SCREEN_PX, imageLoaderLimit: 4, maxImageCacheCount: 300, timeout: 120000,
  gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true }, gestureSettingsPen: { clickToZoom: false },
};

let library = null;

/** OpenSeadragon, loaded when the first viewer needs it. */
function loaded() {
  const rule = "data-openseadragon-mobile-css";
  if (!document.querySelector(`style[${rule}]`)) {
    // it looks for its style element, and would make one, which a Content-Security-Policy blocks; picture.css has the rule
    const stand = document.createElementNS("urn:lepton", "style");
    stand.setAttribute(rule, "");
    document.head.append(stand);
  }
  library ??= new Promise((resolve, reject) => {
    const script = h("script", { src: LIBRARY.href });
    script.addEventListener("load", () => resolve(window.OpenSeadragon));
    script.addEventListener("error", () => {
      library = null;
      reject(new Error("OpenSeadragon could not be loaded."));
    });
    document.head.append(script);
  });
  return library;
}

class Side {
  constructor(name) {
    this.name = name;
    this.picture = null; // the name of its picture, null for none
    this.look = null;
    this.view = null; // what is known of it
    this.item = null; // OpenSeadragon's image, and what it shows; of the picture before while the next one loads
    this.shown = null;
    this.error = "";
    this.asked = 0; // number of the last request for its view
  }
}

export class PictureViewer {
  /** Show the pictures of a job in an element; `base` is the URL of the API, `/api/lepton/v1`. */
  constructor(element, { base, job }) {
    this.source = new PictureSource(base, job);
    this.sides = { before: new Side("Before"), after: new Side("After") };
    this.box = null;
    this.asking = 0; // number of loads that go on
    this.lastAsked = 0;
    this.frame = h("div", { class: "lepton-picture-frame" });
    this.stage = h("div", { class: "lepton-picture-stage" });
    this.lines = h("canvas", { class: "lepton-picture-lines", "aria-hidden": "true" });
    this.names = { before: h("span", { class: "lepton-picture-name" }), after: h("span", { class: "lepton-picture-name" }) };
    this.message = h("p", { class: "lepton-picture-message", role: "status" });
    this.about = h("div", { class: "lepton-legend" });
    this.controls = new PictureControls({
      chosen: () => this.#choose(), zoom: (how) => this.#zoom(how), grid: () => this.#lines(),
    });
    this.frame.append(this.stage, this.lines, this.names.before, this.names.after, this.message);
    this.divider = new Divider(this.frame, "Divider between before and after", () => this.#clip());
    element.classList.add("lepton-pictures");
    element.replaceChildren(this.controls.element, this.frame, this.about);
    this.#say("Loading…");
  }

  /** Ask for the pictures and show the first input and the first output. */
  async open() {
    try {
      const [found, OpenSeadragon] = await Promise.all([this.source.list(), loaded()]);
      if (!found.pictures.length) return this.#nothing(found);
      this.#make(OpenSeadragon);
      this.controls.list(found.pictures);
      await this.#choose();
    } catch (error) {
      this.#say(error.message);
    }
  }

  /** Ask again for what was not finished, a few seconds after the last time. */
  async refresh() {
    clearTimeout(this.timer);
    const since = Date.now() - this.lastAsked;
    if (!this.viewer) return;
    if (since < APART_MS) return void (this.timer = setTimeout(() => this.refresh(), APART_MS - since));
    const open = Object.values(this.sides).filter((side) => side.picture && !side.view?.is_finished);
    if (open.length) await this.#load(open);
  }

  /** Frame a region, which is of a grid of blocks of this shape, and show it. */
  async frameRegion({ start, stop, shape }) {
    const view = this.sides.after.view ?? this.sides.before.view;
    if (!view) return;
    const axes = matched(shape, view);
    for (const plane of view.planes) {
      const axis = axes.indexOf(plane.axis);
      if (axis >= 0) this.controls.setPlane(plane, start[axis]);
    }
    const along = (axis, length) => {
      const from = axes.indexOf(axis);
      if (axis === null || from < 0) return [0, length];
      const scale = length / shape[from];
      return [start[from] * scale, (stop[from] - start[from]) * scale];
    };
    const [[x, width], [y, height]] = [along(view.columns, view.width), along(view.rows, view.height)];
    this.box = { of: view.width, box: [x, y, width, height] };
    await this.#choose();
    const margin = 0.75 * Math.max(width, height);
    const rect = new this.OpenSeadragon.Rect((x - margin) / view.width, (y - margin) / view.width, (width + 2 * margin) / view.width, (height + 2 * margin) / view.width);
    this.viewer.viewport.fitBounds(rect);
    this.#lines();
  }

  #nothing({ arrays }) {
    this.controls.element.hidden = true;
    this.#say(arrays ? "The image came with the job and was not kept, and its outputs are no images." : "This job reads and writes no images.");
  }

  #make(OpenSeadragon) {
    this.OpenSeadragon = OpenSeadragon;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.viewer = OpenSeadragon({ element: this.stage, ...OPTIONS, ...(calm ? { animationTime: 0 } : {}) });
    this.overlay = new PictureOverlay(this.lines, this.viewer);
    const { canvas } = this.viewer;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Picture");
    this.viewer.addHandler("viewport-change", () => this.#moved());
    this.viewer.addHandler("resize", () => requestAnimationFrame(() => this.#moved()));
    this.viewer.addHandler("tile-load-failed", ({ tiledImage, tile }) => this.#failed(tiledImage, tile.getUrl()));
    this.viewer.addHandler("canvas-scroll", (event) => {
      if (event.scroll > 0 || !this.#isWhole()) return;
      event.preventDefaultAction = true; // the page scrolls
      event.preventDefault = false;
    });
  }

  #isWhole() {
    const { viewport } = this.viewer;
    return viewport.getZoom(true) <= viewport.getHomeZoom() * 1.01;
  }

  #zoom(how) {
    if (!this.viewer?.world.getItemCount()) return;
    const { viewport } = this.viewer;
    if (how === "all") viewport.goHome();
    else if (how === "pixels") {
      const [item] = Object.values(this.sides).map((side) => side.item).filter(Boolean);
      viewport.zoomTo(item.imageToViewportZoom(1));
    } else viewport.zoomBy(how === "in" ? 2 : 0.5);
    viewport.applyConstraints();
  }

  /** Show what the controls say. */
  async #choose() {
    for (const [which, side] of Object.entries(this.sides)) {
      [side.picture, side.look] = this.controls.choice(which);
    }
    await this.#load(Object.values(this.sides));
  }

  async #load(sides) {
    this.lastAsked = Date.now();
    this.asking += 1;
    this.#progress();
    await Promise.all(sides.map((side) => this.#view(side)));
    this.controls.describe(this.sides.before.view, this.sides.after.view);
    this.#tell();
    const isFirst = !this.viewer.world.getItemCount();
    await Promise.all(sides.map((side) => this.#show(side)));
    if (isFirst) this.#home();
    this.asking -= 1;
    this.#moved();
  }

  /** Ask for what is known of a side's picture. */
  async #view(side) {
    const asked = ++side.asked;
    if (!side.picture) return this.#forget(side, "");
    const { picture, look } = side;
    const channel = side.view?.picture === picture && side.view.channels > this.controls.channel ? this.controls.channel : null;
    try {
      const view = await this.source.view(picture, { look, channel });
      if (asked === side.asked) [side.view, side.error] = [view, ""];
    } catch (error) {
      if (asked === side.asked) this.#forget(side, error.message);
    }
  }

  #forget(side, error) {
    [side.view, side.error, side.key] = [null, error, ""];
    if (side.item && this.viewer.world.getIndexOfItem(side.item) >= 0) this.viewer.world.removeItem(side.item);
    side.item = side.shown = null;
  }

  /** Show what is known of a side's picture, after what was to be shown before. */
  #show(side) {
    side.showing = (side.showing ?? Promise.resolve()).then(() => this.#showNow(side));
    return side.showing;
  }

  async #showNow(side) {
    const { view, item: before } = side;
    if (!view) return;
    const tiles = this.source.tiles(view, this.controls.planes(view));
    const key = tiles.getTileUrl(0, 0, 0);
    if (key === side.key && before) return;
    const item = await new Promise((resolve) => {
      this.viewer.addTiledImage({
        tileSource: tiles, x: 0, y: 0, width: 1,
        index: before ? this.viewer.world.getIndexOfItem(before) : undefined, replace: Boolean(before),
        success: (event) => resolve(event.item), error: () => resolve(null),
      });
    });
    if (!item) return;
    [side.item, side.shown, side.key] = [item, view, key];
    if (!side.view) return void this.#forget(side, side.error); // it is gone since
    item.addHandler("fully-loaded-change", () => this.#progress());
  }

  /** Show the whole picture, or the middle of one that cannot be seen as a whole. */
  #home() {
    const { viewport } = this.viewer;
    viewport.goHome(true);
    const views = Object.values(this.sides).map((side) => side.shown).filter(Boolean);
    const view = views.find((one) => tilesIn(one, 0, 0, one.width, one.height) > MOST_TILES);
    if (!view) return;
    const wide = (4 * view.square_px * 2 ** (view.levels - 1)) / view.width;
    const high = wide / viewport.getAspectRatio();
    viewport.fitBounds(new this.OpenSeadragon.Rect(0.5 - wide / 2, view.height / view.width / 2 - high / 2, wide, high), true);
  }

  #moved() {
    if (!this.viewer) return;
    this.#clip();
    const { canvas } = this.viewer;
    canvas.style.touchAction = this.#isWhole() ? "pan-y" : "none"; // a finger scrolls the page past a picture that is not zoomed
  }

  /** Show the left picture left of the divider, and the right one right of it. */
  #clip() {
    if (!this.viewer?.viewport) return;
    const { before, after } = this.sides;
    const both = Boolean(before.item && after.item);
    this.divider.hidden = !both;
    const { Point } = this.OpenSeadragon;
    const { x } = this.viewer.viewport.pointFromPixel(new Point(this.divider.at * this.stage.clientWidth, 0), true);
    let tooFar = false;
    for (const side of [before, after]) {
      if (!side.item) continue;
      const { width, height } = side.shown;
      const at = Math.min(Math.max(x * width, 0), width);
      const [from, to] = !both ? [0, width] : side === before ? [0, at] : [at, width];
      const far = this.#tiles(side.shown) > MOST_TILES;
      tooFar ||= far;
      this.#part(side.item, from, to, height, to > from && !far);
    }
    if (tooFar !== this.tooFar) {
      this.tooFar = tooFar;
      this.#lines();
    }
    this.#progress();
  }

  #part(item, from, to, height, isShown) {
    const clip = item.getClip();
    if (!clip || clip.x !== from || clip.width !== to - from || clip.height !== height) item.setClip(new this.OpenSeadragon.Rect(from, 0, to - from, height));
    if (item.getOpacity() !== Number(isShown)) item.setOpacity(Number(isShown));
    const smooth = this.viewer.viewport.getContainerSize().x * this.viewer.viewport.getZoom(true) < item.getContentSize().x;
    if (this.smooth !== smooth) {
      this.smooth = smooth;
      this.viewer.drawer.setImageSmoothingEnabled(smooth); // single pixels are seen as squares
    }
  }

  /** Number of tiles of the coarsest level that are in view. */
  #tiles(view) {
    const { x, y, width, height } = this.viewer.viewport.getBoundsNoRotate(true);
    return tilesIn(view, x * view.width, y * view.width, width * view.width, height * view.width);
  }

  #progress() {
    const sides = Object.values(this.sides);
    const errors = sides.filter((side) => side.error).map((side) => `${side.name}: ${side.error}`);
    const loading = this.asking || sides.some((side) => side.item?.getOpacity() && !side.item.getFullyLoaded());
    this.frame.dataset.loaded = loading ? "no" : "yes";
    const far = this.tooFar ? "Zoom in to see the pixels: this image has no smaller copies (a pyramid), and reading all of it would take too long." : "";
    this.#say([...errors, far].filter(Boolean).join("\n"));
  }

  async #failed(item, url) {
    const side = Object.values(this.sides).find((one) => one.item === item);
    if (!side || side.error) return;
    side.error = (await reason(url)) || side.error;
    this.#progress();
  }

  #say(text) {
    setText(this.message, text);
    this.message.hidden = !text;
  }

  #tell() {
    for (const [which, side] of Object.entries(this.sides)) {
      const { view } = side;
      const name = this.names[which];
      name.hidden = !view;
      setText(name, view ? `${side.name}: ${this.controls.title(side.picture)}${view.is_finished ? "" : ", unfinished"}` : "");
    }
    this.about.replaceChildren(...Object.values(this.sides).filter((side) => side.view).map((side) => h("span", { class: "lepton-legend-item" }, about(side))));
    const shown = Object.values(this.sides).filter((side) => side.view).map((side) => `${side.name}: ${this.controls.title(side.picture)}`);
    this.viewer.canvas.setAttribute("aria-label", `Picture. ${shown.join(". ")}. The arrows move it, + and − zoom, 0 shows all of it.`);
    this.#lines();
  }

  #lines() {
    const view = this.sides.after.view?.block_shape.length ? this.sides.after.view : this.sides.before.view;
    const blocks = view?.block_shape;
    this.controls.hasGrid = Boolean(blocks?.length);
    const grid = this.controls.grid && blocks?.length
      ? { rows: blocks[view.rows] ?? view.height, columns: blocks[view.columns] ?? view.width, height: view.height, width: view.width }
      : null;
    const whole = this.tooFar && view ? { of: view.width, box: [0, 0, view.width, view.height] } : null; // where the image is
    const box = this.box ?? whole;
    this.overlay?.show(grid ? view.width : box?.of, grid, box && (!grid || box.of === view.width) ? box.box : null);
  }
}

/** The axis of a picture for each axis of a grid of blocks, whose channels may be left out. */
function matched(shape, view) {
  const axes = view.shape.map((_, axis) => axis);
  if (shape.length === axes.length) return axes;
  const without = axes.filter((axis) => axis !== view.channel_axis);
  return shape.length === without.length ? without : [...Array(Math.max(0, shape.length - 2)).fill(-1), view.rows, view.columns].slice(-shape.length);
}

/** Number of tiles of the coarsest level in a part of a picture. */
function tilesIn(view, x, y, width, height) {
  const side = view.square_px * 2 ** (view.levels - 1);
  const along = (start, length, whole) => {
    const [from, to] = [Math.max(0, start), Math.min(whole, start + length)];
    return to > from ? Math.floor((to - 1e-6) / side) - Math.floor(from / side) + 1 : 0;
  };
  return along(x, width, view.width) * along(y, height, view.height);
}

const number = (value) => String(Number(value.toPrecision(4)));

function about({ name, view }) {
  const looks = { labels: "each label in a colour of its own", colours: "in its own colours" };
  const look = looks[view.look] ?? `black ${number(view.black)}, white ${number(view.white)}`;
  return `${name}: ${size(view.shape)} ${view.dtype}, ${look}${view.is_finished ? "" : ", nothing where blocks are not done"}`;
}
