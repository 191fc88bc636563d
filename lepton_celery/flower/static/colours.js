// The colours of blocks and stages. Those of states come from the style sheet, so they are right in light and dark.

const known = new Map();
const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

/** A CSS colour as a word of a canvas's pixels. */
export function rgba(colour) {
  if (!known.has(colour)) {
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    known.set(colour, new Uint32Array(probe.getImageData(0, 0, 1, 1).data.buffer)[0]);
  }
  return known.get(colour);
}

/** The colour that the style sheet gives a name. */
export const named = (name) =>
  getComputedStyle(document.querySelector(".lepton-page")).getPropertyValue(`--lepton-${name}`).trim();

// viridis: its brightness rises evenly, and the colour-blind see it too
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/** The colour of a fraction, 0 to 1. */
export function ramp(fraction) {
  const at = Math.min(Math.max(fraction, 0), 1) * (VIRIDIS.length - 1);
  const first = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const mixed = VIRIDIS[first].map((from, i) => Math.round(from + (VIRIDIS[first + 1][i] - from) * (at - first)));
  return `rgb(${mixed.join(", ")})`;
}

// Okabe and Ito's colours, which the colour-blind tell apart; further ones by the golden angle
const DISTINCT = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b3a429", "#7f7f7f"];

/** The colour of one of many things. */
export const distinct = (index) =>
  DISTINCT[index] ?? `hsl(${((index * 137.508) % 360).toFixed(1)}, 55%, ${45 + 12 * (index % 3)}%)`;
