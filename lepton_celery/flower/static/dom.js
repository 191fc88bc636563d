// Makes and changes elements. Texts become text nodes, so nothing that users wrote is ever read as HTML.

/** An element with attributes and children; `on` gives its event handlers, and undefined or false attributes are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Set a text only if it differs, so that screen readers do not read it again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Show items as children of a parent, keeping the child of each key: focus and selections stay where they are. */
export function keyed(parent, items, key, make, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = known.get(name);
    if (child) known.delete(name);
    else {
      child = make(item);
      child.dataset.key = name;
    }
    update(child, item);
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  for (const child of known.values()) child.remove();
}

/** Fill the cells of a row with texts and elements; texts that have not changed are left alone. */
export function setCells(row, cells) {
  cells.forEach((cell, index) => {
    const td = row.cells[index] ?? row.insertCell();
    if (cell instanceof Node) td.replaceChildren(cell);
    else setText(td, cell);
  });
}

const STATES = {
  running: ["text-bg-primary", "Running"],
  merging: ["text-bg-primary", "Merging"],
  waiting: ["text-bg-light border", "Waiting"],
  paused: ["text-bg-warning", "Paused"],
  done: ["text-bg-success", "Done"],
  failed: ["text-bg-danger", "Failed"],
  damaged: ["text-bg-danger", "Damaged"],
  cancelled: ["text-bg-secondary", "Cancelled"],
};

/** The badge of a state. */
export function badge(state) {
  const [kind, text] = STATES[state] ?? ["text-bg-secondary", state];
  return h("span", { class: `badge lepton-badge lepton-badge-${state in STATES ? state : "other"} ${kind}` }, text);
}

/** A progress bar, named for screen readers; `note` stands beside it. */
export function progressBar(label) {
  const fill = h("div", { class: "progress-bar" });
  const bar = h("div", { class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
  const note = h("span", { class: "lepton-note" });
  const element = h("div", { class: "lepton-progress" }, bar, note);
  element.show = (fraction, text, state) => {
    const percent = Math.floor(1000 * fraction) / 10;
    bar.setAttribute("aria-valuenow", percent);
    bar.setAttribute("aria-valuetext", text);
    fill.style.width = `${percent}%`;
    fill.className = `progress-bar lepton-bar-${state}`;
    setText(note, text);
  };
  return element;
}
