// A slider lays the second of two images over the first; without this script both stand beside
// each other.
document.documentElement.classList.add("sliding");

function slide(input) {
  input.closest(".compare").style.setProperty("--shown", `${input.value}%`);
  input.setAttribute("aria-valuetext", `${input.value} % of each image is of ${input.dataset.second}`);
}

document.addEventListener("input", (event) => {
  if (event.target.matches(".compare input")) slide(event.target);
});
