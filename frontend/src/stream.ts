// The live stream: connects, subscribes, reconnects with patience, resumes where it was.

export type Cell = number | string | null;
export interface Frames {
  type: "frames";
  vehicle: string;
  source: string;
  seq: number;
  prev: number | null;
  signals: string[];
  frames: [number, ...Cell[]][];
}
export interface Snapshot {
  type: "snapshot";
  vehicle: string;
  seq: number;
  state: string;
  signals: Record<string, [number, Cell]>;
}
export interface State {
  type: "state";
  vehicle: string;
  state: string;
  since: number;
}
export interface AlertNews {
  id: string;
  rule_name: string;
  vehicle: string;
  vehicle_name: string;
  severity: string;
  state: string;
  known_at: string;
}
export interface AlertMessage {
  type: "alert";
  alert: AlertNews;
}
export interface Wishes {
  vehicles: string[] | "all";
  signals: string[] | "all";
  max_hz: number;
}
export interface Handlers {
  frames?: (message: Frames) => void;
  snapshot?: (message: Snapshot) => void;
  state?: (message: State) => void;
  alert?: (message: AlertMessage) => void;
  connected?: () => void;
  gap?: () => void;
  caughtUp?: (seconds: number) => void;
}

const LONGEST_WAIT = 30;
const SILENCE_MS = 40_000;

export class Stream {
  connected = false;
  lostAt = 0;
  private socket: WebSocket | null = null;
  private wait = 1;
  private heard = 0;
  private readonly seen = new Map<string, number>();

  constructor(
    private readonly wishes: Wishes | null,
    private readonly handlers: Handlers,
  ) {
    this.connect();
    setInterval(() => {
      // A connection that is silent past the heartbeat is dead, whatever its state says.
      if (this.connected && Date.now() - this.heard > SILENCE_MS) this.socket?.close();
    }, 5000);
  }

  private connect(): void {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws/v1/stream`, "motorpool.v1");
    this.socket = socket;
    socket.onopen = () => {
      this.heard = Date.now();
      // Without wishes nothing is asked for: alerts alone come.
      if (this.wishes) socket.send(JSON.stringify({ type: "subscribe", ...this.wishes, resume: Object.fromEntries(this.seen) }));
    };
    socket.onmessage = (event: MessageEvent<string>) => this.take(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (this.connected || !this.lostAt) this.lostAt = Date.now();
      this.connected = false;
      if (event.code === 4403 || event.code === 4401) {
        location.reload(); // signed out or no member any more: the page says so
        return;
      }
      setTimeout(() => this.connect(), this.wait * 1000 * (0.5 + Math.random() / 2));
      this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
    };
  }

  private take(message: Frames | Snapshot | State | { type: string }): void {
    this.heard = Date.now();
    switch (message.type) {
      case "hello":
        if (this.lostAt) this.handlers.caughtUp?.((Date.now() - this.lostAt) / 1000);
        this.connected = true;
        this.lostAt = 0;
        this.handlers.connected?.();
        this.wait = 1;
        break;
      case "frames": {
        const frames = message as Frames;
        this.seen.set(frames.vehicle, Math.max(frames.seq, this.seen.get(frames.vehicle) ?? 0));
        this.handlers.frames?.(frames);
        break;
      }
      case "snapshot": {
        const snapshot = message as Snapshot;
        this.seen.set(snapshot.vehicle, snapshot.seq);
        this.handlers.snapshot?.(snapshot);
        break;
      }
      case "state":
        this.handlers.state?.(message as State);
        break;
      case "alert":
        this.handlers.alert?.(message as AlertMessage);
        break;
      case "gap":
        this.handlers.gap?.();
        if (this.wishes) this.socket?.send(JSON.stringify({ type: "subscribe", ...this.wishes }));
        break;
    }
  }
}
