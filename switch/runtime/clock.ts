// The Clock port: the only way business code learns the time or waits for it.
// Every room with a deadline, a timeout or a timestamp takes a Clock; switch/main.ts hands it a
// systemClock, the simulation a VirtualClock. It must import nothing, so that any room may import
// it; the system clock below is the only place that may call Date.now, performance.now, setTimeout
// and setInterval (tests/tidy.test.ts holds to that).

/** Something that was asked to happen later. Cancelling twice, or after it ran, does nothing. */
export interface Timer {
  cancel(): void
}

/**
 * Time as the switch sees it. Two readings, because they answer different questions: the wall
 * clock (what to print in a field) may step, the monotonic one (has the answer taken too long)
 * never goes back.
 */
export interface Clock {
  /** Milliseconds since 1970-01-01 UTC. May jump when the machine's clock is set. */
  wallMs(): number

  /** Milliseconds since some fixed instant, with a fraction; never decreases. For durations. */
  monotonicMs(): number

  /** Calls `fn` once, `delayMs` from now (rounded to whole milliseconds, at least 1). */
  after(delayMs: number, fn: () => void): Timer

  /** Calls `fn` every `periodMs` (at least 1) until cancelled. */
  every(periodMs: number, fn: () => void): Timer
}

/** Longest delay that Node's timers take: 2^31 - 1 ms (24.8 days); longer ones fire at once. */
export const TIMER_DELAY_MS_MAX = 2_147_483_647

/** Real time. Its timers keep the process alive until they ran or were cancelled. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs: number, fn: () => void): Timer {
    const handle = setTimeout(fn, checkedDelay(delayMs))
    return { cancel: () => clearTimeout(handle) }
  },
  every(periodMs: number, fn: () => void): Timer {
    const handle = setInterval(fn, checkedDelay(periodMs))
    return { cancel: () => clearInterval(handle) }
  },
}

/**
 * The delay as both clocks understand it: whole milliseconds, 1 to TIMER_DELAY_MS_MAX.
 *
 * @param delayMs milliseconds
 * @throws RangeError for NaN, a negative delay, or one that Node would fire at once
 */
export function checkedDelay(delayMs: number): number {
  if (!(delayMs >= 0) || delayMs > TIMER_DELAY_MS_MAX) {
    throw new RangeError(`timer delay out of range: ${delayMs} ms`)
  }
  return Math.max(1, Math.round(delayMs))
}

/**
 * Waits on a clock, for code that reads better as a sequence.
 *
 * @param clock the clock that decides when it is over
 * @param delayMs milliseconds
 */
export function wait(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve)
  })
}
