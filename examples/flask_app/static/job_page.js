/* When the job is done, its image takes the place of the map: before and after. */
const work = document.getElementById("work");

document.addEventListener("lepton-job", ({ detail }) => {
  if (detail.state !== "done" || work.querySelector("lepton-compare")) return;
  const compare = document.createElement("lepton-compare");
  compare.setAttribute("job", work.dataset.job);
  compare.setAttribute("api", work.dataset.api);
  work.querySelector("h2").textContent = "Before and after";
  work.querySelector("lepton-map").replaceWith(compare);
});
