// The light in the header: how old the newest reading is, or that the connection is being mended.
import type { Stream } from "./stream";

const STALE_S = 30;
const RECONNECTING_MS = 3000;

export function ageWords(seconds: number): string {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export class Freshness {
  private newest = 0;
  private readonly light = document.querySelector<HTMLElement>("[data-freshness]");

  constructor(private readonly stream: () => Stream) {
    setInterval(() => this.show(), 200);
  }

  saw(time: number): void {
    if (time > this.newest) this.newest = time;
  }

  private show(): void {
    if (!this.light) return;
    const stream = this.stream();
    const age = Date.now() / 1000 - this.newest;
    let live = "live";
    let words = `Live – ${ageWords(age)} ago`;
    if (!stream.connected && Date.now() - stream.lostAt > RECONNECTING_MS) {
      live = "off";
      words = "Reconnecting …";
    } else if (!this.newest) {
      live = "stale";
      words = "No data yet";
    } else if (age > STALE_S) {
      live = "stale";
      words = `Stale ${ageWords(age)}`;
    }
    this.light.dataset["live"] = live;
    if (this.light.textContent !== words) this.light.textContent = words;
  }
}

export function refreshAges(): void {
  const now = Date.now() / 1000;
  for (const cell of document.querySelectorAll<HTMLElement>("[data-time]")) {
    const time = Number(cell.dataset["time"]);
    if (!time) continue;
    const words = `${ageWords(now - time)} ago`;
    if (cell.textContent !== words) {
      cell.textContent = words;
      cell.title = new Date(time * 1000).toLocaleString(undefined, { timeZoneName: "short" });
    }
  }
}
