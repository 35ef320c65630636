// Overview and vehicle list: states, speeds and ages move; rows stay where they are.
import { Freshness } from "./freshness";
import { showState } from "./states";
import { Stream } from "./stream";

const SIGNALS = ["vehicle.speed", "location.speed", "traction_battery.soc", "fuel.level"];
const rows = new Map<string, HTMLElement>();
for (const row of document.querySelectorAll<HTMLElement>("[data-vehicle]")) rows.set(row.dataset["vehicle"]!, row);

function put(row: HTMLElement, field: string, words: string): void {
  const cell = row.querySelector<HTMLElement>(`[data-field="${field}"]`);
  if (cell && cell.textContent !== words) cell.textContent = words;
}

function show(vehicle: string, signal: string, value: unknown, time: number): void {
  freshness.saw(time);
  const row = rows.get(vehicle);
  if (!row || typeof value !== "number") return;
  const age = row.querySelector<HTMLElement>("[data-time]");
  if (age && time > Number(age.dataset["time"] ?? 0)) age.dataset["time"] = String(time);
  if (signal === "vehicle.speed" || (signal === "location.speed" && !row.dataset["speed"])) {
    if (signal === "vehicle.speed") row.dataset["speed"] = "vehicle";
    put(row, "speed", `${value.toFixed(0)} km/h`);
  } else if (signal === "traction_battery.soc" || signal === "fuel.level") {
    put(row, "energy", `${value.toFixed(0)} % ${signal === "fuel.level" ? "fuel" : "SoC"}`);
  }
}

function setState(vehicle: string, state: string): void {
  const badge = rows.get(vehicle)?.querySelector<HTMLElement>("[data-state]");
  const before = badge?.dataset["state"];
  if (!badge || before === state) return;
  showState(badge, state);
  for (const [name, step] of [[before, -1], [state, 1]] as const) {
    const count = document.querySelector<HTMLElement>(`[data-tile="${name}"] [data-count]`);
    if (count) count.textContent = String(Number(count.textContent) + step);
  }
}

const stream = new Stream(
  { vehicles: "all", signals: SIGNALS, max_hz: 2 },
  {
    frames: (message) => {
      for (const [time, ...cells] of message.frames) {
        message.signals.forEach((signal, index) => show(message.vehicle, signal, cells[index], time));
      }
    },
    snapshot: (message) => {
      setState(message.vehicle, message.state);
      for (const [signal, [time, value]] of Object.entries(message.signals)) show(message.vehicle, signal, value, time);
    },
    state: (message) => setState(message.vehicle, message.state),
  },
);
const freshness = new Freshness(() => stream);
