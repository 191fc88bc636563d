// When the job is done, its image takes the place of the map, before and after, and the first rows of its table are shown.
const work = document.getElementById("work");
const shown = document.getElementById("table");
const MOST_ROWS = 12;
const MOST_BYTES = 2 ** 20; // of a table that is read as a whole, to count its rows

document.addEventListener("lepton-job", ({ detail }) => {
  if (detail.state !== "done" || work.querySelector("lepton-compare")) return;
  const compare = document.createElement("lepton-compare");
  compare.setAttribute("job", work.dataset.job);
  compare.setAttribute("api", work.dataset.api);
  work.querySelector("h2").textContent = "Before and after";
  work.querySelector("lepton-map").replaceWith(compare);
  tabulate();
});

async function tabulate() {
  const path = `${work.dataset.api}/jobs/${work.dataset.job}/results`;
  const { results } = await (await fetch(path)).json();
  const csv = results.find(({ name }) => name.endsWith(".csv"));
  if (!csv) return;
  const whole = csv.bytes <= MOST_BYTES;
  const answer = await fetch(`${path}/${encodeURIComponent(csv.name)}`, whole ? {} : { headers: { Range: "bytes=0-4095" } });
  const lines = (await answer.text()).split(/\r?\n/).filter(Boolean);
  const heading = document.createElement("h2");
  const first = lines.length - 1 > MOST_ROWS ? `, the first ${MOST_ROWS}` : "";
  heading.textContent = whole ? `${(lines.length - 1).toLocaleString("en")} objects${first}` : `The first ${MOST_ROWS} objects`;
  const table = document.createElement("table");
  lines.slice(0, MOST_ROWS + 1).forEach((line, at) => {
    const row = table.insertRow();
    for (const text of line.split(",")) {
      const cell = document.createElement(at ? "td" : "th");
      cell.textContent = at && text.includes(".") ? Number(text).toFixed(1) : text;
      row.append(cell);
    }
  });
  shown.append(heading, table);
  shown.hidden = false;
}
