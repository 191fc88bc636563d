// Asks Flower for jobs, and sends what the buttons do.

const prefix = document.getElementById("url_prefix").value.replace(/^\/+|\/+$/g, "");

/** What the paths of this Flower begin with. */
export const root = prefix ? `/${prefix}` : "";

/** An answer that says why there is nothing else. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(method, path, query = {}) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined) given.append(name, one);
    }
  }
  const text = given.toString();
  const headers = {};
  if (method === "POST") {
    const found = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
    if (found) headers["X-XSRFToken"] = decodeURIComponent(found[1]);
  }
  let answer;
  try {
    answer = await fetch(`${root}/lepton/v1${path}${text ? `?${text}` : ""}`, { method, headers, redirect: "error" });
  } catch {
    throw new Refused(0, "Flower does not answer. It may have stopped, or you may have to log in again.");
  }
  const document_ = await answer.json().catch(() => null);
  if (answer.ok && document_) return document_;
  throw new Refused(answer.status, document_?.error?.message ?? `Flower answered ${answer.status}.`);
}

export const get = (path, query) => ask("GET", path, query);
export const post = (path, query) => ask("POST", path, query);

/** The numbers of a layer of the block map, which comes in base64, little-endian. */
export function decoded(base64, Kind) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Kind(bytes.buffer);
}
