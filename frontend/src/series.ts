// The points of one chart: a window of times and values that grows at the end and is trimmed at the front.

const GAP_PERIODS = 3;
const SHORTEST_GAP = 3;

export class Series {
  times: number[] = [];
  values: (number | null)[] = [];
  private period = 1;

  get last(): number {
    return this.times[this.times.length - 1] ?? 0;
  }

  reset(times: number[], values: (number | null)[]): void {
    this.times = times;
    this.values = values;
  }

  // Late points are left to the next load of the history; a silence becomes a gap, not a line.
  push(time: number, value: number, window: number): void {
    const last = this.last;
    if (time <= last) return;
    const step = time - last;
    if (last && step > Math.max(SHORTEST_GAP, GAP_PERIODS * this.period)) {
      this.times.push(last + step / 2);
      this.values.push(null);
    } else if (last) {
      this.period += (step - this.period) * 0.1;
    }
    this.times.push(time);
    this.values.push(value);
    if (this.times.length > 200 && this.times[100]! < time - window * 1.2) {
      this.times.splice(0, 100);
      this.values.splice(0, 100);
    }
  }
}
