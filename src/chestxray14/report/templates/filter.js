for (const box of document.querySelectorAll(".filter")) {
  box.hidden = false;
  box.addEventListener("change", (event) => {
    for (const item of document.querySelectorAll(".pictures li"))
      item.hidden = ![item.dataset.finding, ""].includes(event.target.value) && item.dataset.finding !== "";
  });
}
