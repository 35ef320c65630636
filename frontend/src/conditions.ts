// One condition of a rule: its fields, its JSON, its words.

export type Condition = Record<string, unknown>;
export interface Facts {
  signals: { name: string; units: string[]; kind: string }[];
  fences: { id: string; name: string }[];
  states: string[];
}

const OPERATORS: Record<string, string> = { ">": "is above", ">=": "is at least", "<": "is below", "<=": "is at most", "==": "is", "!=": "is not" };
const KINDS: Record<string, string> = {
  signal: "a signal", rate: "a signal's change", no_data: "no data", geofence: "a geofence", state: "the vehicle's state",
  dtc: "a trouble code", source: "a broken source",
};
const FENCE: Record<string, string> = { enter: "enters", exit: "leaves", inside: "is inside", outside: "is outside", dwell: "stays in" };
const SOURCES: Record<string, string> = { token: "the maker's cloud needs a new sign-in", agent: "the device falls silent", clock: "the clock is wrong" };
const facts = new WeakMap<HTMLElement, Facts>();

export function conditionOf(signal: string): Condition {
  return { signal, op: ">", value: 110 };
}

export function wordsOf(condition: Condition, known: Facts): string {
  for (const word of ["all", "any"]) {
    if (word in condition) return (condition[word] as Condition[]).map((part) => wordsOf(part, known)).join(word === "all" ? " and " : " or ");
  }
  if ("no_data" in condition) return `nothing is told of ${String(condition["signal"] ?? "anything")} for ${String(condition["no_data"]).slice(2).toLowerCase()}`;
  if ("geofence" in condition) {
    const fence = known.fences.find((f) => f.id === condition["geofence"]);
    return `the vehicle ${FENCE[String(condition["event"] ?? "inside")]} ${fence?.name ?? "(choose a geofence)"}`;
  }
  if ("state" in condition) return `the vehicle is ${(condition["state"] as string[]).join(" or ")}`;
  if ("dtc" in condition) return condition["dtc"] === "any" ? "a trouble code appears" : `trouble code ${String(condition["dtc"])} appears`;
  if ("source" in condition) return SOURCES[String(condition["source"])] ?? "";
  const unit = condition["unit"] ?? known.signals.find((s) => s.name === condition["signal"])?.units[0] ?? "";
  const value = condition["value"];
  const own = typeof value === "object" && value !== null ? `its ${String((value as Condition)["attribute"])}` : `${String(value)} ${String(unit)}`.trim();
  const what = condition["rate"] ? `the change of ${String(condition["signal"])} within ${String(condition["rate"]).slice(2).toLowerCase()}` : String(condition["signal"]);
  return `${what} ${OPERATORS[String(condition["op"])] ?? condition["op"]} ${own}`;
}

function select(name: string, label: string, options: [string, string][], value: string): HTMLSelectElement {
  const made = document.createElement("select");
  made.name = `c_${name}`;
  made.setAttribute("aria-label", label);
  for (const [key, words] of options) made.append(new Option(words, key));
  if (options.some(([key]) => key === value)) made.value = value;
  return made;
}

function input(name: string, label: string, value: string, type = "text"): HTMLInputElement {
  const made = document.createElement("input");
  made.name = `c_${name}`;
  made.type = type;
  if (type === "number") made.step = "any";
  made.setAttribute("aria-label", label);
  made.value = value;
  return made;
}

function kindOf(condition: Condition): string {
  if (condition["rate"]) return "rate";
  return Object.keys(KINDS).find((kind) => kind !== "signal" && kind in condition) ?? "signal";
}

const minutes = (words: unknown) => {
  const found = /^PT?(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?$/.exec(String(words ?? ""));
  return found ? String(Number(found[1] ?? 0) * 60 + Number(found[2] ?? 0) + Number(found[3] ?? 0) / 60) : "5";
};

function fields(kind: string, condition: Condition, known: Facts): HTMLElement[] {
  const signals = known.signals.map((s): [string, string] => [s.name, s.name]);
  const signal = String(condition["signal"] ?? "vehicle.speed");
  switch (kind) {
    case "no_data":
      return [select("signal", "Signal", [["", "any signal"], ...signals], String(condition["signal"] ?? "")), span("for"), input("minutes", "Minutes", minutes(condition["no_data"]), "number"), span("min")];
    case "geofence":
      return [
        select("event", "Event", Object.entries(FENCE), String(condition["event"] ?? "enter")),
        select("fence", "Geofence", known.fences.map((f): [string, string] => [String(f.id), f.name]), String(condition["geofence"] ?? "")),
      ];
    case "state":
      return [select("state", "State", known.states.map((s): [string, string] => [s, s]), String((condition["state"] as string[] | undefined)?.[0] ?? "offline"))];
    case "dtc":
      return [input("dtc", "Code, or any", String(condition["dtc"] ?? "any"))];
    case "source":
      return [select("source", "Which", Object.entries(SOURCES), String(condition["source"] ?? "agent"))];
  }
  const info = known.signals.find((s) => s.name === signal);
  const value = condition["value"];
  const own = typeof value === "object" && value !== null ? (value as Condition) : null;
  const made = [select("signal", "Signal", signals, signal)];
  const parts: HTMLElement[] = [...made];
  if (kind === "rate") parts.push(span("changes within"), input("minutes", "Minutes", minutes(condition["rate"]), "number"), span("min, and that"));
  parts.push(select("op", "Comparison", Object.entries(OPERATORS), String(condition["op"] ?? ">")));
  parts.push(input("value", "Value", own ? String(own["default"] ?? "") : String(value ?? ""), info?.kind === "text" || info?.kind === "enum" ? "text" : "number"));
  const units = info?.units ?? [""];
  if (units.some(Boolean)) parts.push(select("unit", "Unit", units.map((u): [string, string] => [u, u || "–"]), String(condition["unit"] ?? units[0] ?? "")));
  if (kind === "signal") {
    const attribute = input("attribute", "Or the vehicle's own attribute", String(own?.["attribute"] ?? ""));
    attribute.placeholder = "or the vehicle's own …";
    parts.push(attribute);
  }
  return parts;
}

function span(words: string): HTMLElement {
  const made = document.createElement("span");
  made.textContent = words;
  return made;
}

export function makeRow(known: Facts, condition: Condition): HTMLElement {
  const row = document.createElement("div");
  row.className = "row";
  row.dataset["condition"] = "";
  facts.set(row, known);
  const kind = select("kind", "Kind of condition", Object.entries(KINDS), kindOf(condition));
  const body = document.createElement("span");
  body.className = "row";
  const remove = document.createElement("button");
  remove.type = "button";
  remove.className = "link";
  remove.textContent = "Remove";
  remove.addEventListener("click", () => row.remove());
  const show = (now: Condition) => {
    body.replaceChildren(...fields(kind.value, now, known));
    // Another signal has other units.
    body.querySelector<HTMLSelectElement>("[name=c_signal]")?.addEventListener("change", () => {
      const kept = readRow(row);
      delete kept["unit"];
      if (kind.value === "signal" || kind.value === "rate") show(kept);
    });
  };
  kind.addEventListener("change", () => show(kind.value === "signal" || kind.value === "rate" ? conditionOf("vehicle.speed") : {}));
  show(condition);
  row.append(kind, body, remove);
  return row;
}

export function readRow(row: HTMLElement): Condition {
  const get = (name: string) => row.querySelector<HTMLInputElement | HTMLSelectElement>(`[name=c_${name}]`)?.value ?? "";
  const known = facts.get(row)!;
  switch (get("kind")) {
    case "no_data": return { no_data: `PT${Math.round(Number(get("minutes")) * 60)}S`, ...(get("signal") ? { signal: get("signal") } : {}) };
    case "geofence": return { geofence: get("fence"), event: get("event") };
    case "state": return { state: [get("state")] };
    case "dtc": return { dtc: get("dtc") || "any" };
    case "source": return { source: get("source") };
  }
  const info = known.signals.find((s) => s.name === get("signal"));
  const text = info?.kind === "text" || info?.kind === "enum";
  const value: unknown = text ? get("value") : Number(get("value"));
  const made: Condition = { signal: get("signal"), op: get("op"), value: get("attribute") ? { attribute: get("attribute"), default: value } : value };
  if (get("unit")) made["unit"] = get("unit");
  if (get("kind") === "rate") made["rate"] = `PT${Math.round(Number(get("minutes")) * 60)}S`;
  return made;
}
