// The bell and the banner: alerts of the organization, as they happen, on every page.
import { Stream, type AlertNews } from "./stream";

const SHOWN_MS = 15_000;
const bell = document.querySelector<HTMLElement>("[data-bell]");
const banner = document.querySelector<HTMLElement>("[data-banner]");
const open = new Map<number, boolean>();
let count = Number(bell?.dataset["count"] ?? 0);
let hide = 0;

function showCount(): void {
  if (!bell) return;
  bell.dataset["count"] = String(count);
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
  const fresh = !open.has(alert.id) && alert.state === "open";
  const was = open.get(alert.id) ?? !fresh;
  const is = alert.state === "open";
  open.set(alert.id, is);
  if (fresh) count += 1;
  else if (was && !is) count = Math.max(0, count - 1);
  showCount();
  if (fresh) showBanner(alert);
  document.dispatchEvent(new CustomEvent("motorpool:alert", { detail: alert }));
}

async function recount(): Promise<void> {
  const answer = await fetch("/api/v1/alerts?state=open&page_size=500");
  if (!answer.ok) return;
  const found = (await answer.json()) as { results: AlertNews[] };
  open.clear();
  for (const alert of found.results) open.set(alert.id, true);
  count = found.results.length;
  showCount();
  document.dispatchEvent(new CustomEvent("motorpool:alert"));
}

export function watchAlerts(): void {
  if (!bell) return;
  showCount();
  new Stream(null, {
    alert: (message) => take(message.alert),
    gap: () => void recount(),
    caughtUp: () => void recount(),
  });
}
