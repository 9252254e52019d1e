for (const stage of document.querySelectorAll(".stage")) {
  const range = stage.querySelector("input");
  const show = () => stage.style.setProperty("--cut", range.value + "%");
  range.addEventListener("input", show);
  show();
}
for (const button of document.querySelectorAll("button[data-other]")) {
  button.addEventListener("click", () => {
    const figure = button.closest("figure");
    const left = figure.querySelector(".left");
    const pressed = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(pressed));
    for (const image of left.querySelectorAll("img")) {
      image.hidden = (image.dataset.side === "champion") !== pressed;
    }
    figure.querySelector(".tag.l").textContent = pressed ? "champion" : "before";
    button.textContent = pressed ? "Compare with the input" : "Compare with the champion";
  });
}
