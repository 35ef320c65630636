// The rule builder: a sentence in the making, tried on the past, kept through the API.
import { drawHistory } from "./chart";
import { conditionOf, type Facts, type Condition, makeRow, readRow, wordsOf } from "./conditions";

interface Episode {
  opened_at: string;
  cleared_at: string | null;
  value: number | null;
}
interface Rule {
  name: string;
  severity: string;
  enabled: boolean;
  tell_cleared: boolean;
  vehicles: "all" | { vehicles: string[]; groups: string[]; tags: string[] };
  condition: Condition;
  clear: Condition | null;
  times: number;
  schedule: { days?: string[]; from?: string; to?: string } | null;
  channels: string[];
  escalations: { after: string; channel: string }[];
  [duration: string]: unknown;
}
type Data = Facts & {
  rule: Rule | null;
  severities: string[];
  vehicles: { id: string; name: string }[];
  groups: string[];
  tags: string[];
  channels: { id: string; name: string; kind: string }[];
};

let before: Record<string, string> = {};
const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const OPPOSITE: Record<string, string> = { ">": "<", ">=": "<", "<": ">", "<=": ">", "==": "!=", "!=": "==" };
const data = JSON.parse(document.getElementById("rule-data")!.textContent ?? "{}") as Data;
const form = document.querySelector<HTMLFormElement>("[data-builder]")!;
const list = form.querySelector<HTMLElement>("[data-conditions]")!;
const sentence = document.querySelector<HTMLElement>("[data-sentence]")!;
const errors = form.querySelector<HTMLElement>("[data-errors]")!;
const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement & HTMLSelectElement;
let complex: Condition | null = null;

function option(value: string | number, words: string): HTMLOptionElement {
  return new Option(words, String(value));
}

function duration(name: string): string {
  const amount = Number(field(name).value) || 0;
  return `PT${amount}${field(`${name}_unit`).value}`;
}

function secondsOf(words: string): number {
  const found = /^P(?:([\d.]+)D)?(?:T(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?)?$/.exec(words);
  return found ? Number(found[1] ?? 0) * 86400 + Number(found[2] ?? 0) * 3600 + Number(found[3] ?? 0) * 60 + Number(found[4] ?? 0) : 0;
}

function setDuration(name: string, words: string): void {
  const seconds = secondsOf(words);
  const [unit, size] = seconds && seconds % 3600 === 0 ? ["H", 3600] : seconds && seconds % 60 === 0 ? ["M", 60] : ["S", 1];
  field(name).value = String(seconds / Number(size));
  field(`${name}_unit`).value = String(unit);
}

function conditions(): Condition[] {
  return [...list.querySelectorAll<HTMLElement>("[data-condition]")].map(readRow);
}

function ruleOf(): Record<string, unknown> {
  const parts = conditions();
  const condition = complex ?? (parts.length === 1 ? parts[0]! : { [field("match").value]: parts });
  const first = parts[0];
  const separate = field("separate").checked && first && "signal" in first && "op" in first;
  const days = [...form.querySelectorAll<HTMLInputElement>("[data-days] input")].filter((box) => box.checked).map((box) => box.value);
  const scheduled = field("from").value || field("to").value || days.length < 7;
  const scope = field("scope").value;
  const chosen = [...field("chosen").selectedOptions].map((o) => o.value);
  const escalate = field("escalate_to").value;
  return {
    name: field("name").value, severity: field("severity").value, enabled: field("enabled").checked, condition,
    clear: separate ? { ...first, op: OPPOSITE[String(first["op"])], value: Number(field("clear_value").value) } : null,
    for: duration("for"), clear_for: duration("clear_for"), hold: duration("hold"), cooldown: duration("cooldown"),
    tell_cleared: field("tell_cleared").checked, times: Number(field("times").value) || 1, within: Number(field("times").value) > 1 ? duration("within") : "PT0S",
    schedule: scheduled ? { days, from: field("from").value || "00:00", to: field("to").value || "24:00" } : null,
    vehicles: scope === "all" ? "all" : { [scope]: scope === "vehicles" ? chosen.map(Number) : chosen },
    channels: [...form.querySelectorAll<HTMLInputElement>("[data-channels] input")].filter((box) => box.checked).map((box) => box.value),
    escalations: escalate ? [{ after: `PT${field("escalate_after").value}M`, channel: escalate }] : [],
  };
}

function spoken(name: string): string {
  const unit = { S: "s", M: "min", H: "h" }[field(`${name}_unit`).value];
  return `${field(name).value} ${unit}`;
}

function speak(): void {
  const rule = ruleOf();
  sentence.replaceChildren("When ");
  const strong = (words: string) => {
    const part = document.createElement("strong");
    part.textContent = words;
    return part;
  };
  sentence.append(strong(wordsOf(rule["condition"] as Condition, data)));
  if (Number(field("for").value)) sentence.append(" for ", strong(spoken("for")));
  if (Number(field("times").value) > 1) sentence.append(", ", strong(`${field("times").value} times within ${spoken("within")}`));
  const scope = field("scope").value;
  const names = [...field("chosen").selectedOptions].map((o) => o.text).join(", ");
  sentence.append(" on ", strong(scope === "all" ? "any vehicle" : names || "(choose vehicles)"));
  const schedule = rule["schedule"] as { days: string[]; from: string; to: string } | null;
  if (schedule) sentence.append(" between ", strong(`${schedule.from} and ${schedule.to}`), schedule.days.length < 7 ? ` on ${schedule.days.join(", ")}` : "");
  sentence.append(", open a ", strong(field("severity").value), " alert");
  const told = [...form.querySelectorAll<HTMLInputElement>("[data-channels] input")].filter((box) => box.checked).map((box) => box.dataset["name"]);
  sentence.append(told.length ? " and tell " : " in the inbox", told.length ? strong(told.join(", ")) : "");
  if (rule["clear"]) sentence.append("; it clears when ", strong(wordsOf(rule["clear"] as Condition, data)));
  sentence.append(".");
}

function fill(): void {
  for (const severity of data.severities) field("severity").append(option(severity, severity));
  field("severity").value = "warning";
  const vehicles = document.querySelector<HTMLSelectElement>("[data-backtest-vehicle]")!;
  for (const vehicle of data.vehicles) vehicles.append(option(vehicle.id, vehicle.name));
  const channels = form.querySelector<HTMLElement>("[data-channels]")!;
  for (const channel of data.channels) {
    const label = document.createElement("label");
    label.className = "row";
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = String(channel.id);
    box.dataset["name"] = channel.name;
    label.append(box, ` ${channel.name} (${channel.kind})`);
    channels.append(label);
    field("escalate_to").append(option(channel.id, channel.name));
  }
  if (!data.channels.length) channels.append("No channels yet: the alert is in the inbox.");
  for (const day of DAYS) {
    const label = document.createElement("label");
    label.className = "row";
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = day;
    box.checked = true;
    label.append(box, ` ${day}`);
    form.querySelector("[data-days]")!.append(label);
  }
}

function showScope(): void {
  const scope = field("scope").value;
  const choices = scope === "vehicles" ? data.vehicles.map((v) => option(v.id, v.name)) : (scope === "groups" ? data.groups : data.tags).map((name) => option(name, name));
  field("chosen").replaceChildren(...(scope === "all" ? [] : choices));
  field("chosen").hidden = scope === "all";
}

function load(rule: Rule): void {
  field("name").value = rule.name;
  field("severity").value = rule.severity;
  field("enabled").checked = rule.enabled;
  field("tell_cleared").checked = rule.tell_cleared;
  field("times").value = String(rule.times);
  for (const name of ["for", "clear_for", "hold", "cooldown", "within"]) setDuration(name, String(rule[name]));
  const word = "all" in rule.condition ? "all" : "any" in rule.condition ? "any" : "";
  const parts = (word ? rule.condition[word] : [rule.condition]) as Condition[];
  if (parts.some((part) => "all" in part || "any" in part) || (rule.clear && !("signal" in rule.clear))) {
    complex = rule.condition;
    list.append("This condition was made through the API and is too deep for the builder; it stays as it is.");
    form.querySelector("[data-add]")!.remove();
  } else for (const part of parts) list.append(makeRow(data, part));
  field("match").value = word || "all";
  field("separate").checked = rule.clear !== null;
  if (rule.clear) field("clear_value").value = String(rule.clear["value"] ?? "");
  if (rule.vehicles !== "all") {
    const scope = rule.vehicles.vehicles.length ? "vehicles" : rule.vehicles.groups.length ? "groups" : "tags";
    field("scope").value = scope;
    showScope();
    const wanted = new Set(rule.vehicles[scope].map(String));
    for (const each of field("chosen").options) each.selected = wanted.has(each.value);
  }
  if (rule.schedule) {
    field("from").value = rule.schedule.from ?? "";
    field("to").value = rule.schedule.to === "24:00" ? "" : (rule.schedule.to ?? "");
    for (const box of form.querySelectorAll<HTMLInputElement>("[data-days] input")) box.checked = !rule.schedule.days || rule.schedule.days.includes(box.value);
  }
  for (const box of form.querySelectorAll<HTMLInputElement>("[data-channels] input")) box.checked = rule.channels.includes(box.value);
  const step = rule.escalations[0];
  if (step) {
    field("escalate_to").value = String(step.channel);
    field("escalate_after").value = String(secondsOf(step.after) / 60);
  }
}

async function call(url: string, method: string, body: unknown): Promise<{ ok: boolean; found: Record<string, unknown> }> {
  const token = form.querySelector<HTMLInputElement>("input[name=csrfmiddlewaretoken]")!.value;
  const answer = await fetch(url, { method, headers: { "Content-Type": "application/json", "X-CSRFToken": token }, body: JSON.stringify(body) });
  return { ok: answer.ok, found: (await answer.json()) as Record<string, unknown> };
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const id = form.dataset["rule"];
  const now = ruleOf();
  // Of a rule that is there only what was changed is sent: the form cannot show all that the API allows.
  const changed = Object.fromEntries(Object.entries(now).filter(([name, value]) => JSON.stringify(value) !== before[name]));
  void call(id ? `/api/v1/alert-rules/${id}` : "/api/v1/alert-rules", id ? "PATCH" : "POST", id ? changed : now).then(({ ok, found }) => {
    if (ok) location.assign("/rules");
    else errors.textContent = String(found["detail"] ?? "It could not be kept.");
  });
});

const words = document.querySelector<HTMLElement>("[data-backtest-words]")!;
const table = document.querySelector<HTMLTableElement>("[data-backtest-table]")!;
document.querySelector("[data-backtest]")!.addEventListener("click", () => {
  const vehicle = document.querySelector<HTMLSelectElement>("[data-backtest-vehicle]")!.value;
  const days = Number(document.querySelector<HTMLSelectElement>("[data-backtest-days]")!.value);
  const to = Date.now() / 1000;
  const from = to - days * 86400;
  words.textContent = "Looking at the past …";
  void call(`/api/v1/alert-rules/backtest?vehicle=${vehicle}&from=${from}&to=${to}`, "POST", ruleOf()).then(({ ok, found }) => {
    words.textContent = ok ? String(found["words"]) : String(found["detail"]);
    if (!ok) return;
    const episodes = found["episodes"] as Episode[];
    const spans = episodes.map((e) => ({ from: Date.parse(e.opened_at) / 1000, to: e.cleared_at ? Date.parse(e.cleared_at) / 1000 : to }));
    table.hidden = !episodes.length;
    table.tBodies[0]!.replaceChildren(
      ...episodes.slice(0, 50).map((episode, index) => {
        const row = document.createElement("tr");
        const span = spans[index]!;
        for (const cell of [new Date(span.from * 1000).toLocaleString(), `${(span.to - span.from).toFixed(1)} s${episode.cleared_at ? "" : ", and on"}`, episode.value === null ? "–" : episode.value.toFixed(2)]) row.insertCell().textContent = cell;
        return row;
      }),
    );
    const signals = conditions().map((part) => part["signal"]).filter((name): name is string => typeof name === "string");
    const place = document.querySelector<HTMLElement>("[data-backtest-chart]")!;
    if (signals.length) void drawHistory(place, vehicle, [...new Set(signals)].slice(0, 4), from, to, spans);
  });
});

fill();
if (data.rule) load(data.rule);
else list.append(makeRow(data, conditionOf("engine.coolant_temp")));
before = Object.fromEntries(Object.entries(ruleOf()).map(([name, value]) => [name, JSON.stringify(value)]));
form.querySelector("[data-add]")?.addEventListener("click", () => list.append(makeRow(data, conditionOf("vehicle.speed"))));
field("scope").addEventListener("change", showScope);
form.addEventListener("input", speak);
form.addEventListener("change", speak);
form.addEventListener("click", () => setTimeout(speak, 0));
if ("readonly" in form.dataset) for (const each of form.elements) (each as HTMLInputElement).disabled = true;
speak();
