// A file takes the place of the sample, and the other way round.
const image = document.getElementById("image");
const samples = [...document.querySelectorAll("[name=sample]")];

image.addEventListener("change", () => {
  if (image.files.length) for (const sample of samples) sample.checked = false;
});
for (const sample of samples) sample.addEventListener("change", () => { image.value = ""; });
document.getElementById("form").addEventListener("submit", (event) => { event.submitter.disabled = true; });
