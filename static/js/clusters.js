// Bricks of the cluster picture: pointing at one, or reaching it with Tab, lights up its units and says what is in it.
// The picture and its table are complete without this.

function choose(picture, brick) {
  const number = brick?.dataset.brick ?? "";
  picture.classList.toggle("choosing", Boolean(number));
  for (const part of picture.querySelectorAll("[data-in]")) part.classList.toggle("lit", part.dataset.in === number);
  for (const other of picture.querySelectorAll("[data-brick]")) other.classList.toggle("lit", other === brick);
  const words = picture.closest("[data-clusters]").querySelector("[data-brick-words]");
  if (brick) words.textContent = brick.dataset.words;
}

function prepare(root) {
  for (const brick of root.querySelectorAll("[data-brick]:not([tabindex])")) brick.setAttribute("tabindex", "0");
}

for (const [kind, leaving] of [["pointerover", false], ["focusin", false], ["pointerout", true], ["focusout", true]]) {
  document.addEventListener(kind, (event) => {
    const picture = event.target.closest?.(".cluster-svg");
    if (!picture) return;
    choose(picture, leaving ? null : event.target.closest("[data-brick]"));
  });
}

// Arrow keys go from brick to brick.
document.addEventListener("keydown", (event) => {
  const brick = event.target.closest?.("[data-brick]");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!brick || !step) return;
  const bricks = [...brick.ownerSVGElement.querySelectorAll("[data-brick]")];
  bricks[bricks.indexOf(brick) + step]?.focus();
  event.preventDefault();
});

document.addEventListener("htmx:afterSwap", () => prepare(document));
prepare(document);
