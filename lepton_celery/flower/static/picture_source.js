// What the API knows of a job's pictures, and the addresses of their tiles.

/** Asks the API below `base` for the pictures of a job. */
export class PictureSource {
  constructor(base, job) {
    this.url = `${base}/jobs/${encodeURIComponent(job)}/pictures`;
  }

  async list() {
    return ask(this.url);
  }

  async view(picture, query = {}) {
    return ask(`${this.url}/${picture}?${parameters(query)}`);
  }

  /** A picture for OpenSeadragon, whose levels count upwards to the full resolution; the API's count downwards. */
  tiles(view, planes) {
    const { levels, width, height, channel, look, black, white, version } = view;
    const query = parameters({ plane: planes, channel, look, black, white, version });
    return {
      width, height, tileSize: view.square_px, tileOverlap: 0, minLevel: 0, maxLevel: levels - 1,
      getTileUrl: (level, column, row) => `${this.url}/${view.picture}/tile?level=${levels - 1 - level}&column=${column}&row=${row}&${query}`,
    };
  }
}

/** Why the API does not answer a request that failed. */
export async function reason(url) {
  return ask(url).then(() => "", (error) => error.message);
}

function parameters(query) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== null && one !== undefined) given.append(name, one);
  }
  return given.toString();
}

async function ask(url) {
  let answer;
  try {
    answer = await fetch(url, { redirect: "error" });
  } catch {
    throw new Error("The server does not answer. It may have stopped, or you may have to log in again.");
  }
  if (answer.ok && answer.headers.get("Content-Type")?.startsWith("image/")) return null;
  const found = await answer.json().catch(() => null);
  if (answer.ok && found) return found;
  throw new Error(found?.error?.message ?? `The server answered ${answer.status}.`);
}
