// A chart of signals over a range, from the history, with spans and lines laid over it.
import uPlot from "uplot";

export interface Span {
  from: number;
  to: number;
}
const POINTS = 800;
const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export async function drawHistory(
  place: HTMLElement, vehicle: string, signals: string[], from: number, to: number, spans: Span[],
): Promise<string> {
  const query = new URLSearchParams({ signals: signals.join(","), from: String(from), to: String(to), points: String(POINTS) });
  const answer = await fetch(`/api/v1/vehicles/${vehicle}/history?${query}`).catch(() => null);
  if (!answer) return "The readings could not be loaded: the portal cannot be reached.";
  if (!answer.ok) return `The readings could not be loaded (${answer.status}).`;
  const history = (await answer.json()) as { times: number[]; resolution: string; series: Record<string, { unit: string; avg?: (number | null)[] }> };
  place.replaceChildren();
  const numeric = signals.filter((signal) => history.series[signal]?.avg);
  if (!history.times.length || !numeric.length) return "Nothing was told in this time.";
  for (const [index, signal] of numeric.entries()) {
    const series = history.series[signal]!;
    const head = document.createElement("p");
    head.className = "quiet";
    head.textContent = `${signal} (${series.unit || "–"}), ${history.resolution}`;
    const body = document.createElement("div");
    body.setAttribute("role", "img");
    body.setAttribute("aria-label", `${signal} over time, with ${spans.length} marked spans`);
    place.append(head, body);
    const axis = { stroke: () => colour("--quiet"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false } };
    new uPlot(
      {
        width: place.clientWidth || 600, height: 180, legend: { show: false }, cursor: { sync: { key: "alerts" } },
        scales: { x: { time: true, range: [from, to] } },
        axes: [{ ...axis, size: 40, space: 90 }, { ...axis, size: 60 }],
        series: [{}, { stroke: () => colour(`--series-${(index % 8) + 1}`), width: 1.6, spanGaps: false, points: { show: false } }],
        hooks: {
          drawClear: [
            (plot) => {
              const { ctx, bbox } = plot;
              ctx.save();
              ctx.fillStyle = colour("--raised-alert");
              for (const span of spans) {
                const left = Math.max(bbox.left, plot.valToPos(span.from, "x", true));
                const right = Math.min(bbox.left + bbox.width, plot.valToPos(span.to, "x", true));
                if (right >= bbox.left && left <= bbox.left + bbox.width) ctx.fillRect(left, bbox.top, Math.max(2, right - left), bbox.height);
              }
              ctx.restore();
            },
          ],
        },
      },
      [history.times, (series.avg ?? []) as (number | null)[]],
      body,
    );
  }
  return "";
}
