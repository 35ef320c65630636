// What every page needs: copy buttons, switches that send their form, single-key navigation.
import { watchAlerts } from "./bell";
import { refreshAges } from "./freshness";

document.addEventListener("click", (event) => {
  const button = (event.target as Element).closest<HTMLElement>("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset["copy"] ?? "");
  void navigator.clipboard.writeText(source?.textContent ?? "").then(() => {
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = before), 1500);
  });
});

document.addEventListener("change", (event) => {
  const field = event.target as HTMLElement;
  if (field.matches("[data-submit]")) field.closest("form")?.requestSubmit();
});

document.addEventListener("submit", (event) => {
  const words = (event.target as HTMLElement).dataset["confirm"];
  if (words && !confirm(words)) event.preventDefault();
});

let afterG = 0;
document.addEventListener("keydown", (event) => {
  const field = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey || field.matches("input, select, textarea")) return;
  if (event.key === "g") {
    afterG = Date.now();
  } else if (event.key === "/") {
    const search = document.querySelector<HTMLInputElement>("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  } else if (Date.now() - afterG < 1000) {
    const target = { o: "/", v: "/vehicles", d: "/devices", a: "/alerts", r: "/rules" }[event.key];
    if (target) location.assign(target);
  }
});

setInterval(refreshAges, 1000);
watchAlerts();
refreshAges();
