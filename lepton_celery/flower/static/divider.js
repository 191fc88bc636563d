// A divider between two pictures: moved with mouse, finger and keyboard.

import { h } from "./dom.js";

const STEP = 0.02;
const LARGE_STEP = 0.1;

export class Divider {
  /**
   * @param frame the element that the divider parts into left and right.
   * @param label what the divider is, for screen readers.
   * @param moved is called with its place, from 0 at the left to 1 at the right.
   */
  constructor(frame, label, moved) {
    this.frame = frame;
    this.moved = moved;
    this.at = 0.5;
    this.element = h("div", {
      class: "lepton-divider", role: "slider", tabindex: 0, "aria-label": label, "aria-orientation": "horizontal",
      "aria-valuemin": 0, "aria-valuemax": 100, hidden: true,
    }, h("span", { class: "lepton-divider-grip", "aria-hidden": "true" }, "⇔"));
    frame.append(this.element);
    this.#listen();
    this.move(this.at);
  }

  set hidden(hidden) {
    this.element.hidden = hidden;
  }

  move(at) {
    this.at = Math.min(Math.max(at, 0), 1);
    const percent = Math.round(100 * this.at);
    this.element.style.left = `${100 * this.at}%`;
    this.element.setAttribute("aria-valuenow", percent);
    this.element.setAttribute("aria-valuetext", `${percent} % before, ${100 - percent} % after`);
    this.moved(this.at);
  }

  #listen() {
    const { element } = this;
    let grabbed = 0; // from the pointer to the divider
    const place = (event) => (event.clientX - this.frame.getBoundingClientRect().left) / this.frame.clientWidth;
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      grabbed = this.at - place(event);
      element.focus({ preventScroll: true });
      event.preventDefault();
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) this.move(place(event) + grabbed);
    });
    element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = event.shiftKey ? LARGE_STEP : STEP;
      const to = {
        ArrowLeft: this.at - step, ArrowDown: this.at - step, ArrowRight: this.at + step, ArrowUp: this.at + step,
        PageDown: this.at - LARGE_STEP, PageUp: this.at + LARGE_STEP, Home: 0, End: 1,
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.move(to);
    });
  }
}
