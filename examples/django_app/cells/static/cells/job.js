// When the job is done, its image takes the place of the map, before and after, and the first rows of its table are shown.
const work = document.getElementById("work");
const shown = document.getElementById("table");
const MOST_ROWS = 12;

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
  const answer = await fetch(`${path}/${encodeURIComponent(csv.name)}`, { headers: { Range: "bytes=0-4095" } });
  const lines = (await answer.text()).split(/\r?\n/).slice(0, MOST_ROWS + 1);
  const table = document.createElement("table");
  lines.filter(Boolean).forEach((line, at) => {
    const row = table.insertRow();
    for (const text of line.split(",")) {
      const cell = document.createElement(at ? "td" : "th");
      cell.textContent = at && text.includes(".") ? Number(text).toFixed(1) : text;
      row.append(cell);
    }
  });
  shown.append(table);
  shown.hidden = false;
}
