// Inbox and alert pages: keys, what arrives while they are open, the chart around an alert; channels; fences.
import { drawHistory } from "./chart";
import { refreshAges } from "./freshness";

// --- Inbox ----------------------------------------------------------------------------------------------------

const inbox = document.querySelector<HTMLElement>("[data-inbox]");
let current = -1;
const rows = (): HTMLElement[] => [...(inbox?.querySelectorAll<HTMLElement>("tr[data-alert]") ?? [])];

function move(step: number): void {
  const listed = rows();
  if (!listed.length) return;
  current = Math.min(listed.length - 1, Math.max(0, current + step));
  listed[current]!.focus();
}

document.addEventListener("keydown", (event) => {
  const field = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey || field.matches("input:not([type=checkbox]), select, textarea")) return;
  const acknowledge = document.querySelector<HTMLElement>('[data-key="e"]');
  if (event.key === "e" && acknowledge) return acknowledge.click();
  if (!inbox) return;
  const row = rows()[current];
  const box = row?.querySelector<HTMLInputElement>("input[type=checkbox]");
  if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "Enter" && row && document.activeElement === row) row.querySelector("a")?.click();
  else if (event.key === "x" && box) box.checked = !box.checked;
  else if (event.key === "e" && row) {
    const chosen = rows().filter((r) => r.querySelector<HTMLInputElement>("input[type=checkbox]")?.checked);
    for (const each of chosen.length ? chosen : [row]) void acknowledgeOne(each.dataset["alert"] ?? "");
  }
});

const csrf = () => document.querySelector<HTMLInputElement>("input[name=csrfmiddlewaretoken]")?.value ?? "";

async function acknowledgeOne(id: string): Promise<void> {
  let why = "the portal cannot be reached";
  try {
    const answer = await fetch(`/api/v1/alerts/${id}/acknowledge`, { method: "POST", headers: { "X-CSRFToken": csrf() } });
    if (answer.ok) return;
    why = ((await answer.json()) as { detail?: string }).detail ?? `error ${answer.status}`;
  } catch {
    // Said below.
  }
  const banner = document.querySelector<HTMLElement>("[data-banner]");
  if (!banner) return;
  banner.textContent = `The alert was not acknowledged: ${why}`;
  banner.hidden = false;
}

let waiting = 0;
let asked = 0;
async function refresh(): Promise<void> {
  waiting = 0;
  asked = Date.now();
  const answer = await fetch(location.href).catch(() => null); // without a network the list stays as it is
  if (!answer?.ok || !inbox) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const chosen = new Set(rows().filter((r) => r.querySelector<HTMLInputElement>("input[type=checkbox]")?.checked).map((r) => r.dataset["alert"]));
  const focused = (document.activeElement as HTMLElement | null)?.dataset["alert"];
  inbox.replaceChildren(...(page.querySelector("[data-inbox]")?.childNodes ?? []));
  document.querySelector('nav[aria-label="State"]')?.replaceWith(page.querySelector('nav[aria-label="State"]')!);
  for (const [index, row] of rows().entries()) {
    const box = row.querySelector<HTMLInputElement>("input[type=checkbox]");
    if (box && chosen.has(row.dataset["alert"])) box.checked = true;
    if (row.dataset["alert"] === focused) {
      current = index;
      row.focus();
    }
  }
  refreshAges();
}

document.addEventListener("motorpool:alert", (event) => {
  const page = document.querySelector<HTMLElement>("[data-alert-page]");
  const alert = (event as CustomEvent<{ id: string } | undefined>).detail;
  // A page on which somebody writes stays as it is.
  const writing = [...document.querySelectorAll("textarea")].some((area) => area.value);
  if (page && alert?.id === page.dataset["alertPage"] && !writing) location.reload();
  if (inbox && !waiting) waiting = window.setTimeout(() => void refresh(), Math.max(100, asked + 1_000 - Date.now()));
});

// --- One alert ------------------------------------------------------------------------------------------------

const chart = document.querySelector<HTMLElement>("[data-chart]");
if (chart) {
  const facts = chart.dataset;
  const opened = Number(facts["opened"]);
  const span = { from: opened, to: Number(facts["cleared"]) || Number(facts["to"]) };
  void drawHistory(chart, facts["vehicle"]!, facts["chart"]!.split(","), Number(facts["from"]), Number(facts["to"]), [span]).then((words) => {
    const note = document.querySelector("[data-chart-note]");
    if (note) note.textContent = words;
  });
}

// --- Push -----------------------------------------------------------------------------------------------------

const bytes = (text: string) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text64 = (buffer: ArrayBuffer | null) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer ?? new ArrayBuffer(0)))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function subscribe(): Promise<string> {
  if (!("serviceWorker" in navigator) || !("PushManager" in window)) return "This browser cannot show notifications.";
  if ((await Notification.requestPermission()) !== "granted") return "The browser was told not to show notifications.";
  const registration = await navigator.serviceWorker.register("/sw.js");
  await navigator.serviceWorker.ready;
  const { public_key: key } = (await (await fetch("/api/v1/push-browsers")).json()) as { public_key: string };
  const made = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
  const headers = { "Content-Type": "application/json", "X-CSRFToken": csrf() };
  const body = JSON.stringify({ endpoint: made.endpoint, p256dh: text64(made.getKey("p256dh")), auth: text64(made.getKey("auth")), name: navigator.userAgent.slice(0, 100) });
  const answer = await fetch("/api/v1/push-browsers", { method: "POST", headers, body });
  if (!answer.ok) return ((await answer.json()) as { detail: string }).detail;
  const me = (await (await fetch("/api/v1/auth/me")).json()) as { id: string };
  const known = await fetch("/api/v1/channels?page_size=500");
  if (!known.ok) return "Subscribed. An operator can make a channel of it.";
  const mine = ((await known.json()) as { results: { kind: string; config: { user?: string } }[] }).results;
  if (mine.some((each) => each.kind === "push" && each.config.user === me.id)) return "Subscribed.";
  const channel = await fetch("/api/v1/channels", { method: "POST", headers, body: JSON.stringify({ kind: "push", name: "My browsers" }) });
  return channel.ok ? "Subscribed. Rules can tell the channel “My browsers” now." : "Subscribed.";
}

document.querySelector("[data-push]")?.addEventListener("click", () => {
  const note = document.querySelector("[data-push-note]");
  void subscribe().catch((error: unknown) => `It did not work: ${String(error)}`).then((words) => {
    if (note) note.textContent = words;
  });
});

// --- Fences ---------------------------------------------------------------------------------------------------

type Point = [number, number];
interface Fence {
  id: string;
  geometry: { type: string; coordinates: unknown };
  radius: number | null;
}

function outlines(fence: Fence): Point[][] {
  const found = fence.geometry.coordinates;
  switch (fence.geometry.type) {
    case "Point": return [[found as Point]];
    case "LineString": return [found as Point[]];
    case "Polygon": return found as Point[][];
    case "MultiPolygon": return (found as Point[][][]).flat();
  }
  return [];
}

function drawFence(fence: Fence): void {
  const svg = document.querySelector(`[data-fence="${fence.id}"]`);
  const lines = outlines(fence);
  if (!svg || !lines.length) return;
  const points = lines.flat();
  const middle = points.reduce((sum, p) => sum + p[1], 0) / points.length;
  const stretch = Math.cos((middle * Math.PI) / 180) || 1;
  const metres = 111_195;
  const flat = lines.map((line) => line.map(([x, y]): Point => [x * metres * stretch, -y * metres]));
  const all = flat.flat();
  const margin = fence.radius ?? 0;
  const [west, east] = [Math.min(...all.map((p) => p[0])) - margin, Math.max(...all.map((p) => p[0])) + margin];
  const [north, south] = [Math.min(...all.map((p) => p[1])) - margin, Math.max(...all.map((p) => p[1])) + margin];
  const scale = Math.min(280 / Math.max(1, east - west), 140 / Math.max(1, south - north));
  const put = ([x, y]: Point): Point => [150 + (x - (west + east) / 2) * scale, 80 + (y - (north + south) / 2) * scale];
  const space = "http://www.w3.org/2000/svg";
  for (const line of flat) {
    const placed = line.map(put);
    const shape = document.createElementNS(space, placed.length === 1 ? "circle" : fence.radius ? "polyline" : "polygon");
    if (placed.length === 1) {
      shape.setAttribute("cx", String(placed[0]![0]));
      shape.setAttribute("cy", String(placed[0]![1]));
      shape.setAttribute("r", String(Math.max(2, margin * scale)));
    } else {
      shape.setAttribute("points", placed.map((p) => p.join(",")).join(" "));
      if (fence.radius) {
        shape.setAttribute("class", "corridor");
        shape.setAttribute("stroke-width", String(Math.max(2, 2 * margin * scale)));
      }
    }
    svg.append(shape);
  }
  const size = document.querySelector(`[data-size="${fence.id}"]`);
  if (size) size.textContent = `${Math.round(east - west)} m × ${Math.round(south - north)} m around ${(points[0]![1]).toFixed(4)}, ${(points[0]![0]).toFixed(4)}`;
}

const fences = document.getElementById("fences");
if (fences) for (const fence of JSON.parse(fences.textContent ?? "[]") as Fence[]) drawFence(fence);

document.querySelector<HTMLSelectElement>("[data-place]")?.addEventListener("change", (event) => {
  const [latitude, longitude] = (event.target as HTMLSelectElement).value.split(" ");
  const form = (event.target as HTMLSelectElement).form!;
  (form.elements.namedItem("latitude") as HTMLInputElement).value = latitude ?? "";
  (form.elements.namedItem("longitude") as HTMLInputElement).value = longitude ?? "";
});
