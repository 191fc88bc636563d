// The list of jobs.

import { get, root } from "./api.js";
import { badge, byId, h, keyed, progressBar, setCells, setText } from "./dom.js";
import { ago, count, duration, moment, of, percent, rate } from "./format.js";
import { live } from "./live.js";

const STATES = ["running", "paused", "failed", "done", "cancelled", "damaged"];
const SORTS = ["created", "title", "state", "lane", "tenant", "owner", "progress", "remaining", "took"];

const asked = new URLSearchParams(location.search);
const query = {
  state: asked.getAll("state").filter((state) => STATES.includes(state)),
  lane: asked.get("lane") ?? "",
  tenant: asked.get("tenant"),
  owner: asked.get("owner"),
  text: asked.get("text") ?? "",
  sort: SORTS.includes(asked.get("sort")) ? asked.get("sort") : "created",
  order: asked.get("order") === "ascending" ? "ascending" : "descending",
  start: Math.max(0, Number.parseInt(asked.get("start") ?? "0", 10) || 0),
  count: [25, 50, 100, 200].includes(Number(asked.get("count"))) ? Number(asked.get("count")) : 50,
};

function remember() {
  const given = new URLSearchParams();
  for (const state of query.state) given.append("state", state);
  for (const name of ["lane", "text"]) if (query[name]) given.set(name, query[name]);
  for (const name of ["tenant", "owner"]) if (query[name] !== null) given.set(name, query[name]);
  if (query.sort !== "created" || query.order !== "descending") {
    given.set("sort", query.sort);
    given.set("order", query.order);
  }
  if (query.start) given.set("start", query.start);
  if (query.count !== 50) given.set("count", query.count);
  const text = given.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

function change(given) {
  Object.assign(query, { start: 0 }, given);
  remember();
  page.now();
}

function showStates(states) {
  const all = Object.values(states).reduce((sum, number) => sum + number, 0);
  const shown = [["", "All", all], ...STATES.filter((s) => states[s] || query.state.includes(s) || s !== "damaged").map((s) => [s, s[0].toUpperCase() + s.slice(1), states[s] ?? 0])];
  keyed(
    byId("states"), shown, ([state]) => state || "all",
    ([state]) => h("button", { type: "button", class: "task-state-filter", on: { click: () => change({ state: state ? [state] : [] }) } }),
    (button, [state, name, number]) => {
      const chosen = state ? query.state.includes(state) : query.state.length === 0;
      button.classList.toggle("active", chosen);
      button.setAttribute("aria-pressed", chosen);
      setText(button, `${name} ${count(number)}`);
    },
  );
}

function options(select, values, chosen) {
  keyed(select, values, ([value]) => value, ([value, text]) => h("option", { value }, text), () => {});
  select.value = chosen;
}

/** Show the filter and the column of tenants or of owners, or neither if no job has one. */
function chooseName(what, isShown, names) {
  byId(`${what}-filter`).hidden = !isShown;
  document.querySelector(`th[data-sort="${what}"]`).hidden = !isShown;
  const chosen = query[what];
  const known = names.some(([name]) => name === chosen) || chosen === null ? names : [...names, [chosen, chosen || "None"]];
  options(byId(what), [["all", "All"], ...known.map(([name, text]) => [`=${name}`, text])], chosen === null ? "all" : `=${chosen}`);
}

function makeRow(job) {
  const row = h("tr");
  row.append(
    h("td"),
    h("th", { scope: "row" },
      h("a", { href: `${root}/job/${encodeURIComponent(job.job)}` }),
      h("div", { class: "lepton-note" })),
  );
  for (let i = 0; i < 8; i++) row.append(h("td", { class: i >= 4 ? "lepton-number" : i === 2 ? "lepton-owner" : "" }));
  row.bar = progressBar("Progress");
  row.cells[5].append(row.bar);
  return row;
}

function updateRow(row, job, shown) {
  const cells = row.cells;
  if (cells[0].dataset.state !== job.state) {
    cells[0].dataset.state = job.state;
    cells[0].replaceChildren(badge(job.state));
  }
  const [link, note] = cells[1].children;
  setText(link, job.title || job.job);
  link.title = job.title || job.job;
  setText(note, job.error || job.waits_for || (job.title ? job.job : ""));
  note.classList.toggle("lepton-bad", Boolean(job.error));
  note.title = note.textContent;
  setText(cells[2], job.rank ? `${job.lane}:${job.rank}` : job.lane);
  cells[3].hidden = !shown.tenant;
  setText(cells[3], job.tenant);
  cells[4].hidden = !shown.owner;
  setText(cells[4], job.owner);
  cells[4].title = job.owner;
  const stage = job.stages > 1 && job.state !== "done" ? ` · stage ${job.stage} of ${job.stages}` : "";
  row.bar.show(job.progress, percent(job.progress) + stage, job.state);
  setText(cells[6], rate(job.blocks_per_s));
  setText(cells[7], duration(job.remaining_s));
  setText(cells[8], duration(job.took_s));
  setText(cells[9], ago(job.created_at));
  cells[9].title = moment(job.created_at);
}

function showPaging(found) {
  const last = query.start + found.jobs.length;
  setText(byId("range"), found.count ? `${count(query.start + 1)}–${count(last)} of ${of(found.count, "job")}` : "No jobs");
  byId("first").disabled = byId("previous").disabled = query.start === 0;
  byId("next").disabled = last >= found.count;
}

function showSort() {
  for (const head of document.querySelectorAll("th[data-sort]")) {
    const chosen = head.dataset.sort === query.sort;
    if (chosen) head.setAttribute("aria-sort", query.order);
    else head.removeAttribute("aria-sort");
  }
}

async function refresh() {
  const found = await get("/jobs", { ...query, lane: query.lane || null, text: query.text || null });
  if (!found.jobs.length && query.start) {
    query.start = Math.max(0, Math.floor((found.count - 1) / query.count) * query.count);
    remember();
    return refresh();
  }
  const shown = {
    tenant: found.tenants.some((tenant) => tenant) || query.tenant !== null,
    owner: Object.keys(found.owners).some((owner) => owner) || query.owner !== null,
  };
  showStates(found.states);
  options(byId("lane"), [["", "All"], ...[...new Set([...found.lanes, ...(query.lane ? [query.lane] : [])])].map((l) => [l, l])], query.lane);
  chooseName("tenant", shown.tenant, found.tenants.map((name) => [name, name || "None"]));
  chooseName("owner", shown.owner, Object.entries(found.owners).map(([name, number]) => [name, `${name || "None"} (${count(number)})`]));
  keyed(byId("jobs").tBodies[0], found.jobs, (job) => job.job, makeRow, (row, job) => updateRow(row, job, shown));
  const filtered = query.state.length || query.lane || query.text || query.tenant !== null || query.owner !== null;
  byId("empty").hidden = found.jobs.length > 0;
  setText(byId("empty"), filtered ? "No job is like that. Choose other filters." : "There are no jobs yet. lepton.submit(…) makes one, and so does the command lepton run.");
  showPaging(found);
  showSort();
}

for (const head of document.querySelectorAll("th[data-sort]")) {
  const name = head.textContent;
  const sort = head.dataset.sort;
  const click = () => {
    const falls = ["created", "progress", "took"].includes(sort);
    const order = query.sort === sort ? (query.order === "ascending" ? "descending" : "ascending") : falls ? "descending" : "ascending";
    change({ sort, order });
  };
  head.replaceChildren(h("button", { type: "button", class: "lepton-sort", on: { click } }, name));
}

let typing = 0;
byId("text").value = query.text;
byId("text").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => change({ text: event.target.value.trim() }), 250);
});
byId("lane").addEventListener("change", (event) => change({ lane: event.target.value }));
for (const what of ["tenant", "owner"]) {
  byId(what).addEventListener("change", ({ target }) => change({ [what]: target.value === "all" ? null : target.value.slice(1) }));
}
byId("count").value = String(query.count);
byId("count").addEventListener("change", (event) => change({ count: Number(event.target.value) }));
byId("first").addEventListener("click", () => change({ start: 0 }));
byId("previous").addEventListener("click", () => change({ start: Math.max(0, query.start - query.count) }));
byId("next").addEventListener("click", () => change({ start: query.start + query.count }));

const page = live(refresh);
