import { ask } from "/lepton/static/job.js";
import { upload } from "/lepton/static/upload.js";

const form = document.getElementById("form"), error = document.getElementById("error"), sending = document.getElementById("sending");
const image = document.getElementById("image"), samples = [...form.querySelectorAll("[name=sample]")], api = form.dataset.api;

image.addEventListener("change", () => { if (image.files.length) samples.forEach(one => { one.checked = false; }); });
samples.forEach(one => one.addEventListener("change", () => { image.value = ""; }));

form.addEventListener("submit", async event => {
  const [file] = image.files;
  if (!file) return; // a sample is a plain form
  event.preventDefault();
  error.hidden = true;
  sending.hidden = false;
  form.querySelector("button").disabled = true;
  try {
    const sent = await upload(api, file, { onProgress: share => { sending.value = share; } });
    const fields = new FormData(form);
    const steps = fields.get("steps").split("\n").map(step => step.trim()).filter(Boolean);
    const body = { upload: sent, pipeline: fields.get("pipeline") || steps };
    location.href = `/jobs/${(await ask(`${api}/jobs`, { method: "POST", body })).job}`;
  } catch (problem) {
    error.textContent = problem.message;
    error.hidden = false;
    sending.hidden = true;
    form.querySelector("button").disabled = false;
  }
});
