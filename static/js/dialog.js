// Links with data-dialog open the dialog that holds the same form as the page they lead to.
for (const opener of document.querySelectorAll("[data-dialog]")) {
  opener.addEventListener("click", (event) => {
    const dialog = document.getElementById(opener.dataset.dialog);
    if (!dialog || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    dialog.showModal();
  });
}
for (const closer of document.querySelectorAll("dialog [data-close]")) {
  closer.addEventListener("click", () => closer.closest("dialog").close());
}
