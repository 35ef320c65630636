// The bell and the banner: alerts of the organization, as they happen, on every page.
import { Stream, type AlertNews } from "./stream";

const SHOWN_MS = 15_000;
const FRESH_MS = 30_000;
const COUNT_AFTER_MS = 300;
const bell = document.querySelector<HTMLElement>("[data-bell]");
const banner = document.querySelector<HTMLElement>("[data-banner]");
const shown = new Set<string>();
let count = Number(bell?.dataset["open"] ?? 0);
let hide = 0;
let counting = 0;

function showCount(): void {
  if (!bell) return;
  bell.dataset["open"] = String(count);
  const words = bell.querySelector("[data-bell-count]");
  if (words) words.textContent = count > 999 ? "999+" : count ? String(count) : "";
  bell.setAttribute("aria-label", count === 1 ? "1 open alert" : `${count} open alerts`);
}

function showBanner(alert: AlertNews): void {
  if (!banner) return;
  banner.replaceChildren();
  banner.dataset["severity"] = alert.severity;
  const link = document.createElement("a");
  link.href = `/alerts/${alert.id}`;
  link.textContent = `${alert.rule_name} – ${alert.vehicle_name}`;
  const severity = document.createElement("strong");
  severity.textContent = `${alert.severity}: `;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "link";
  close.textContent = "Close";
  close.addEventListener("click", () => (banner.hidden = true));
  banner.append(severity, link, " ", close);
  banner.hidden = false;
  clearTimeout(hide);
  if (alert.severity !== "critical") hide = window.setTimeout(() => (banner.hidden = true), SHOWN_MS);
}

function take(alert: AlertNews): void {
  const fresh = alert.state === "open" && Date.now() - Date.parse(alert.known_at) < FRESH_MS;
  if (fresh && !shown.has(alert.id)) showBanner(alert);
  shown.add(alert.id);
  document.dispatchEvent(new CustomEvent("motorpool:alert", { detail: alert }));
  if (!counting) counting = window.setTimeout(() => void recount(), COUNT_AFTER_MS);
}

// What happened between the making of the page and now, or while the stream was away, is found by asking.
async function recount(): Promise<void> {
  counting = 0;
  let found: number;
  try {
    const answer = await fetch("/api/v1/alerts/count");
    if (!answer.ok) return;
    found = ((await answer.json()) as { open: number }).open;
  } catch {
    return; // the portal is away: the stream says when it is back, and then it is counted again
  }
  if (found === count) return;
  count = found;
  showCount();
  document.dispatchEvent(new CustomEvent("motorpool:alert"));
}

export function watchAlerts(): void {
  if (!bell) return;
  showCount();
  new Stream(null, { alert: (message) => take(message.alert), gap: () => void recount(), connected: () => void recount() });
}
