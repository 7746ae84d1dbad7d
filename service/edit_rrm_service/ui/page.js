// The handle below two pictures shows more of one or the other; pictures come and go, so the page listens, not they.
document.addEventListener("input", (event) => {
  const pair = event.target.closest && event.target.closest(".rrm-swipe");
  if (pair && event.target.type === "range") pair.style.setProperty("--at", event.target.value + "%");
});
