// How late Node's event loop runs its timers: the one sign that this process itself is stuck.
// Read by /livez and by the metrics. Part of the runtime because it reads real time.
import { monitorEventLoopDelay } from 'node:perf_hooks'

/** The monitor's own timer: ten wake-ups a second cost an idle switch next to nothing. */
const RESOLUTION_MS = 100

/** A running measurement. */
export interface LoopLag {
  /** The longest delay since the last reading, in seconds. */
  seconds(): number
  stop(): void
}

/** Starts measuring; it does not keep the process alive. */
export function measureLoopLag(): LoopLag {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  return {
    seconds(): number {
      const nanoseconds = histogram.count === 0 ? 0 : histogram.max
      histogram.reset()
      return Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000)
    },
    stop: () => void histogram.disable(),
  }
}
