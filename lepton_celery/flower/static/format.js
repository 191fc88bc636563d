// Numbers as people read them.

const counts = new Intl.NumberFormat("en");
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const NONE = "—";

export const count = (value) => (value === null || value === undefined ? NONE : counts.format(value));

/** Seconds as a duration with two units. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const s = Math.max(0, seconds);
  if (s < 0.001) return s === 0 ? "0 s" : "< 1 ms";
  if (s < 0.9995) return `${Math.round(1000 * s)} ms`;
  if (s < 59.95) return `${s < 9.95 ? s.toFixed(1) : Math.round(s)} s`;
  const whole = Math.round(s);
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([length]) => whole >= length);
  const [length, unit] = parts[first];
  const rest = Math.floor((whole % length) / (parts[first + 1]?.[0] ?? 1));
  return rest && first < 3 ? `${Math.floor(whole / length)} ${unit} ${rest} ${parts[first + 1][1]}` : `${Math.floor(whole / length)} ${unit}`;
}

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  let size = value;
  for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
    if (size < 999.5 || unit === "TB") return `${unit === "B" || size >= 99.95 ? Math.round(size) : size.toFixed(1)} ${unit}`;
    size /= 1000;
  }
}

export const moment = (seconds) => (seconds ? moments.format(new Date(1000 * seconds)) : NONE);

/** How long ago a moment was. */
export function ago(seconds, now = Date.now() / 1000) {
  const past = now - seconds;
  if (past < 2) return "just now";
  if (past < 60) return `${Math.floor(past)} s ago`;
  const text = duration(past);
  return `${past < 3600 ? text.replace(/ min .*/, " min") : text} ago`;
}

export const percent = (fraction) => `${(Math.floor(1000 * fraction) / 10).toFixed(fraction > 0 && fraction < 1 ? 1 : 0)} %`;

export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return NONE;
  return perSecond >= 10 ? counts.format(Math.round(perSecond)) : perSecond.toPrecision(2);
}

/** `one block`, `2 blocks`. */
export const of = (number, noun, nouns = `${noun}s`) => `${count(number)} ${number === 1 ? noun : nouns}`;

export const size = (lengths) => lengths.map(count).join(" × ");
