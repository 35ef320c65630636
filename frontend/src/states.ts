// A vehicle's state as colour, shape and word.

export const STATES: Record<string, { word: string; icon: string }> = {
  moving: { word: "Moving", icon: "arrow-up" },
  idle: { word: "Idle", icon: "pause" },
  parked: { word: "Parked", icon: "square" },
  charging: { word: "Charging", icon: "zap" },
  offline: { word: "Offline", icon: "clock" },
  never: { word: "Never reported", icon: "circle-dashed" },
};

export function showState(badge: HTMLElement, state: string): void {
  const shape = STATES[state];
  if (!shape || badge.dataset["state"] === state) return;
  badge.dataset["state"] = state;
  const word = badge.querySelector("[data-word]");
  if (word) word.textContent = shape.word;
  const use = badge.querySelector("use");
  if (use) use.setAttribute("href", (use.getAttribute("href") ?? "").replace(/#.*/, `#${shape.icon}`));
}
