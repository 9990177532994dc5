// A copy button on every block of code that asks for one.
for (const block of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  const frame = block.querySelector("pre");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button small";
  button.textContent = "Copy";
  const holder = document.createElement("div");
  holder.className = "copy-frame";
  frame.replaceWith(holder);
  holder.append(frame, button);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(frame.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}
