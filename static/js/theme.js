// Runs before the first paint, so that a chosen theme does not flash. Without a choice the system's scheme holds.
(function () {
  "use strict";
  var root = document.documentElement;
  root.classList.add("js");
  function stored() {
    try { return localStorage.getItem("theme") || "auto"; } catch (error) { return "auto"; }
  }
  function apply(theme) {
    if (theme === "auto") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
  }
  apply(stored());
  document.addEventListener("DOMContentLoaded", function () {
    var words = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
    var next = { auto: "light", light: "dark", dark: "auto" };
    document.querySelectorAll("[data-theme-toggle]").forEach(function (button) {
      button.hidden = false;
      button.textContent = words[stored()];
      button.addEventListener("click", function () {
        var theme = next[stored()];
        try { localStorage.setItem("theme", theme); } catch (error) { /* private mode: the choice lasts this page */ }
        apply(theme);
        button.textContent = words[theme];
      });
    });
  });
})();
