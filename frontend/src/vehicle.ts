// One vehicle, live: up to eight charts with one cursor, and every value with its age.
import uPlot from "uplot";
import { Freshness } from "./freshness";
import { Series } from "./series";
import { showState } from "./states";
import { Stream } from "./stream";

const PREFERRED = [
  "engine.rpm", "vehicle.speed", "traction_battery.power", "engine.boost", "traction_battery.soc", "engine.throttle",
  "engine.load", "engine.coolant_temp", "traction_battery.current", "traction_battery.voltage", "motor.rpm",
  "engine.oil_temp", "traction_battery.temp_max", "fuel.level", "electrical.voltage", "location.altitude",
];
const MOST_CHARTS = 8;
const DRAW_MS = 100;
const POINTS = 600;

interface Chart {
  signal: string;
  series: Series;
  plot: uPlot;
  value: HTMLElement;
  visible: boolean;
}

const page = document.querySelector<HTMLElement>("[data-vehicle-page]")!;
const vehicle = page.dataset["vehiclePage"]!;
const board = document.querySelector<HTMLElement>("[data-charts]")!;
const table = document.querySelector<HTMLElement>("[data-values]")!;
const note = document.querySelector<HTMLElement>("[data-note]")!;
const charts = new Map<string, Chart>();
const units = new Map<string, string>();
let span = Number(new URLSearchParams(location.search).get("window")) || 60;
let paused = false;

const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clock = (seconds: number) => new Date(seconds * 1000).toLocaleTimeString(undefined, { hour12: false });
// As many digits as the value's size deserves; a place on the globe needs five.
const digits = (value: number, unit = "") => unit === "°" && !Number.isInteger(value) ? 5 : (Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);

function plotOf(signal: string, index: number, body: HTMLElement, series: Series): uPlot {
  const axis = { stroke: () => colour("--quiet"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false } };
  return new uPlot(
    {
      width: body.clientWidth || 420,
      height: 166,
      cursor: { sync: { key: "vehicle" }, drag: { x: false, y: false } },
      legend: { show: false },
      scales: { x: { time: true, range: () => { const end = Date.now() / 1000; return [end - span, end]; } } },
      axes: [
        { ...axis, size: 28, space: 80, values: (_, ticks) => ticks.map(clock) },
        { ...axis, size: 54, values: (_, ticks) => ticks.map((tick) => `${tick}`) },
      ],
      series: [
        {},
        { label: signal, stroke: () => colour(`--series-${(index % 8) + 1}`), width: 1.6, spanGaps: false, points: { show: false } },
      ],
    },
    [series.times, series.values],
    body,
  );
}

function addChart(signal: string): void {
  if (charts.has(signal) || charts.size >= MOST_CHARTS) return;
  const figure = document.createElement("figure");
  figure.className = "chart";
  figure.dataset["signal"] = signal;
  figure.setAttribute("aria-label", `${signal} over time; its value is also in the table below`);
  const head = document.createElement("figcaption");
  head.className = "chart-head";
  const name = document.createElement("span");
  name.textContent = `${signal} (${units.get(signal) || "–"})`;
  const value = document.createElement("span");
  value.className = "chart-value";
  value.textContent = "–";
  head.append(name, value);
  const body = document.createElement("div");
  body.className = "chart-body";
  figure.append(head, body);
  board.append(figure);
  const series = new Series();
  const chart: Chart = { signal, series, plot: plotOf(signal, charts.size, body, series), value, visible: true };
  charts.set(signal, chart);
  new ResizeObserver(() => chart.plot.setSize({ width: body.clientWidth, height: 166 })).observe(body);
  new IntersectionObserver((entries) => (chart.visible = entries.some((e) => e.isIntersecting))).observe(figure);
}

function chooseCharts(signals: string[]): void {
  const known = PREFERRED.filter((signal) => signals.includes(signal));
  for (const signal of known) addChart(signal);
  document.querySelector("[data-empty]")?.toggleAttribute("hidden", signals.length > 0);
}

async function loadHistory(): Promise<void> {
  if (!charts.size) return;
  const end = Date.now() / 1000;
  const query = new URLSearchParams({
    signals: [...charts.keys()].join(","), from: String(end - span), to: String(end + 60), points: String(POINTS),
  });
  let answer: Response;
  try {
    answer = await fetch(`/api/v1/vehicles/${vehicle}/history?${query}`);
  } catch {
    note.textContent = "History could not be loaded: the portal cannot be reached.";
    return;
  }
  if (!answer.ok) {
    note.textContent = `History could not be loaded (${answer.status}). Live values continue.`;
    return;
  }
  const history = await answer.json();
  const times: number[] = history.times;
  for (const chart of charts.values()) {
    const averages: (number | null)[] = history.series[chart.signal]?.avg ?? [];
    const points: [number, number | null][] = [];
    // An empty bucket inside the recording is a gap; those after its end are the future.
    averages.forEach((value, i) => {
      if (value !== null) points.push([times[i]!, value]);
      else if (points.length && points[points.length - 1]![1] !== null && history.resolution !== "raw" && span > POINTS * 2) points.push([times[i]!, null]);
    });
    const later = chart.series.times.map((time, i) => [time, chart.series.values[i]] as [number, number | null]);
    const end = points.length ? points[points.length - 1]![0] : 0;
    const all = [...points, ...later.filter(([time]) => time > end)];
    chart.series.reset(all.map((p) => p[0]), all.map((p) => p[1]));
  }
}

const rows = new Map<string, { value: HTMLElement; age: HTMLElement }>();
for (const row of table.querySelectorAll<HTMLElement>("[data-signal]")) {
  units.set(row.dataset["signal"]!, row.dataset["unit"] ?? "");
  rows.set(row.dataset["signal"]!, {
    value: row.querySelector<HTMLElement>("[data-value]")!,
    age: row.querySelector<HTMLElement>("[data-time]")!,
  });
}

function show(signal: string, value: unknown, time: number): void {
  if (value === null || value === undefined) return;
  freshness.saw(time);
  const row = rows.get(signal);
  if (!row) {
    if (!unknown.has(signal)) unknown.add(signal);
    return;
  }
  if (time < Number(row.age.dataset["time"] ?? 0)) return;
  row.age.dataset["time"] = String(time);
  pending.set(row.value, typeof value === "number" ? value.toFixed(digits(value, units.get(signal))) : String(value));
  if (typeof value === "number") {
    const chart = charts.get(signal);
    if (chart) {
      chart.series.push(time, value, span);
      pending.set(chart.value, value.toFixed(digits(value, units.get(signal))));
    }
  }
}

const pending = new Map<HTMLElement, string>();
const unknown = new Set<string>();

let drawn = 0;
function draw(now: number): void {
  requestAnimationFrame(draw);
  if (document.hidden || paused || now - drawn < DRAW_MS) return;
  drawn = now;
  for (const [cell, words] of pending) cell.textContent = words;
  pending.clear();
  for (const chart of charts.values()) {
    if (chart.visible) chart.plot.setData([chart.series.times, chart.series.values] as uPlot.AlignedData, true);
  }
  if (unknown.size) void refreshUnits();
}

// A signal that the page did not know when it was made: ask for it once, then reload the table's part.
const ASK_AGAIN_MS = 5_000;
let asking = false;
async function refreshUnits(): Promise<void> {
  if (asking) return;
  asking = true;
  try {
    const answer = await fetch(`/api/v1/vehicles/${vehicle}/latest`);
    if (answer.ok) {
      const latest: { signals: Record<string, { value: unknown; unit: string; time: string; source: string }> } = await answer.json();
      for (const [signal, reading] of Object.entries(latest.signals)) {
        if (rows.has(signal)) continue;
        addRow(signal, reading.unit, reading.source);
        // What a maker's cloud told may be all that it tells for hours.
        show(signal, reading.value, Date.parse(reading.time) / 1000);
      }
      chooseCharts([...rows.keys()]);
      await loadHistory();
    }
    unknown.clear();
  } catch {
    // The network is away: the signal stays unknown, and is asked for again in a while.
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  } finally {
    asking = false;
  }
}

function addRow(signal: string, unit: string, source: string): void {
  const row = document.createElement("tr");
  row.dataset["signal"] = signal;
  const cells = ["", "", unit, "", source].map((words) => {
    const cell = document.createElement("td");
    cell.textContent = words;
    row.append(cell);
    return cell;
  });
  cells[0]!.textContent = signal;
  cells[1]!.className = "number";
  cells[1]!.dataset["value"] = "";
  cells[3]!.className = "quiet";
  cells[3]!.dataset["time"] = "0";
  table.append(row);
  units.set(signal, unit);
  rows.set(signal, { value: cells[1]!, age: cells[3]! });
}

const stream = new Stream(
  { vehicles: [vehicle], signals: "all", max_hz: 20 },
  {
    frames: (message) => {
      for (const [time, ...cells] of message.frames) {
        message.signals.forEach((signal, index) => show(signal, cells[index], time));
      }
    },
    snapshot: (message) => {
      showState(document.querySelector<HTMLElement>("[data-state]")!, message.state);
      for (const [signal, [time, value]] of Object.entries(message.signals)) show(signal, value, time);
    },
    state: (message) => showState(document.querySelector<HTMLElement>("[data-state]")!, message.state),
    gap: () => void loadHistory(),
    caughtUp: (seconds) => {
      note.textContent = seconds > 3 ? `Caught up ${Math.round(seconds)} s.` : "";
      void loadHistory();
    },
  },
);
const freshness = new Freshness(() => stream);

for (const button of document.querySelectorAll<HTMLElement>("[data-window]")) {
  const seconds = Number(button.dataset["window"]);
  button.setAttribute("aria-pressed", String(seconds === span));
  button.addEventListener("click", () => {
    span = seconds;
    history.replaceState(null, "", `?window=${seconds}`);
    for (const other of document.querySelectorAll("[data-window]")) other.setAttribute("aria-pressed", String(other === button));
    void loadHistory();
  });
}
document.querySelector("[data-pause]")?.addEventListener("click", (event) => {
  paused = !paused;
  (event.currentTarget as HTMLElement).setAttribute("aria-pressed", String(paused));
});

chooseCharts([...rows.keys()]);
void loadHistory();
requestAnimationFrame(draw);
