// hot path
// The switch's log: one JSON line per finished transaction, one per event of a link, the token, the
// database and the process. Every line is built here from a list of allowed fields; nobody else
// holds the logger, so nothing else can be written. Called by main.ts, the pipeline's observer and
// the links' handlers.
//
// A PAN comes in as the type that masks itself and leaves as `pan_masked`. Texts of errors are
// scrubbed, because a driver's message may quote a value.
import pino from 'pino'
import type { Pan } from '../secrets.ts'
import type { Clock } from '../runtime/clock.ts'

/** Least level that is written. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Where lines go: one call per line, with its line break. */
export interface LogSink {
  write(line: string): void
}

/** What is known when the log is opened. */
export interface LogSettings {
  readonly level: LogLevel
  /** Name of this node, in each line. */
  readonly node: string
  readonly clock: Clock
  /** Standard output, written without blocking, unless given. */
  readonly sink?: LogSink | undefined
}

/** A finished transaction, as far as it may be told. */
export interface TxnLine {
  readonly id: string
  readonly link: string
  readonly direction: 'in' | 'out'
  readonly mti: string
  readonly stan: string
  readonly rrn: string
  readonly kind: string
  readonly pan: Pan | null
  /** Start of the keyed hash of the PAN, hex: finds a card's lines without telling the card. */
  readonly cardRef: string
  readonly route: string
  readonly attempt: number
  /** Response code as answered. */
  readonly rc: string
  readonly reason: string
  readonly amountMinor: number
  readonly currency: string
  readonly durationUs: number
  /** Microseconds per step that took a while, by the step's name. */
  readonly stepsUs: Readonly<Record<string, number>> | null
}

/** Longest text that is taken over from an error; characters. */
const ERROR_TEXT_MAX = 300

/** Frames of a stack that are kept: enough to find the place, without the tail of the runtime. */
const STACK_FRAMES_MAX = 6

/** The log of one process. */
export class Log {
  readonly #pino: pino.Logger
  readonly #flush: () => void

  constructor(settings: LogSettings) {
    const { level, node, clock } = settings
    const stdout = settings.sink === undefined ? pino.destination({ fd: 1, sync: false }) : null
    this.#flush = () => (stdout === null ? undefined : flushQuietly(stdout))
    this.#pino = pino(
      {
        level,
        base: { node },
        timestamp: () => `,"ts":"${new Date(clock.wallMs()).toISOString()}"`,
        formatters: { level: (label) => ({ level: label }) },
      },
      settings.sink ?? stdout ?? process.stdout,
    )
  }

  /** Writes out what is still buffered; before the process ends. */
  flush(): void {
    this.#flush()
  }

  txnCompleted(txn: TxnLine): void {
    this.#pino.info({
      event: 'txn.completed',
      txn: txn.id,
      link: txn.link,
      direction: txn.direction,
      mti: txn.mti,
      stan: txn.stan,
      rrn: txn.rrn,
      kind: txn.kind,
      pan_masked: txn.pan === null ? '' : txn.pan.masked,
      card_ref: txn.cardRef,
      route: txn.route,
      attempt: txn.attempt,
      rc: txn.rc,
      reason: txn.reason,
      amount_minor: txn.amountMinor,
      currency: txn.currency,
      duration_us: txn.durationUs,
      steps_us: txn.stepsUs,
    })
  }

  /** A link went from one state to another; `cause` is a closed word. */
  linkChanged(link: string, from: string, to: string, cause: string): void {
    const line = { event: 'link.changed', link, from, to, cause }
    if (to === 'down') this.#pino.warn(line)
    else this.#pino.info(line)
  }

  /** A connection of a link was opened. */
  connectionOpened(link: string, connection: number, remote: string): void {
    this.#pino.info({ event: 'connection.opened', link, connection, remote })
  }

  /** A connection ended; `cause` is a closed word, e.g. peer_closed. */
  connectionClosed(link: string, connection: number, remote: string, cause: string): void {
    this.#pino.info({ event: 'connection.closed', link, connection, remote, cause })
  }

  /** A well-framed message that does not parse: where and what kind, never the bytes. */
  messageRefused(link: string, fault: { kind: string; field: number; offset: number }): void {
    const { kind, field, offset } = fault
    this.#pino.warn({ event: 'message.refused', link, kind, field, offset })
  }

  /** A network sent a message of ours back as unreadable. */
  messageRejected(link: string): void {
    this.#pino.error({ event: 'message.rejected', link })
  }

  /** An answer came after its time-out; it changed nothing. */
  answerLate(link: string, txn: string, rc: string): void {
    this.#pino.warn({ event: 'answer.late', link, txn, rc: shortCode(rc) })
  }

  /** An answer to no request; `near` is the closest waiting one, `field` what differs. */
  answerUnmatched(link: string, near: string, field: number): void {
    this.#pino.warn({ event: 'answer.unmatched', link, near, field })
  }

  /** Something a person should look at: a reversal without original, an answer nobody took. */
  exceptionSeen(link: string, txn: string, what: string): void {
    this.#pino.warn({ event: 'exception.seen', link, txn, what })
  }

  /** A response code that is in no table was answered as a safe decline. */
  codeUnmapped(link: string, rc: string): void {
    this.#pino.error({ event: 'code.unmapped', link, rc: shortCode(rc) })
  }

  /** Same key as an earlier request with another content. */
  duplicateRefused(link: string, txn: string): void {
    this.#pino.error({ event: 'duplicate.refused', link, txn })
  }

  reversalQueued(route: string, txn: string, cause: string): void {
    this.#pino.warn({ event: 'reversal.queued', route, txn, cause })
  }

  /** A stored message was sent again, acknowledged or parked. */
  safChanged(route: string, txn: string, state: string, attempt: number, rc: string): void {
    const line = { event: 'saf.changed', route, txn, state, attempt, rc: shortCode(rc) }
    if (state === 'parked') this.#pino.error(line)
    else this.#pino.info(line)
  }

  /** The token came, went or showed what it can; `note` is a sentence of ours. */
  tokenChanged(ready: boolean, note: string): void {
    const line = { event: 'token.changed', ready, note: scrubbed(note) }
    if (ready) this.#pino.info(line)
    else this.#pino.error(line)
  }

  /** The database came, went or was started again. */
  databaseChanged(ready: boolean, note: string): void {
    const line = { event: 'database.changed', ready, note: scrubbed(note) }
    if (ready) this.#pino.info(line)
    else this.#pino.error(line)
  }

  /** A working key is in force; its check value is public. */
  keyChanged(name: string, kcv: string): void {
    this.#pino.info({ event: 'key.changed', name, kcv: kcv.slice(0, 8) })
  }

  switchStarted(version: string, links: number): void {
    this.#pino.info({ event: 'switch.started', version, links, pid: process.pid })
  }

  /** The switch takes no new work; `cause` is a signal or a closed word. */
  switchDraining(cause: string): void {
    this.#pino.info({ event: 'switch.draining', cause })
  }

  switchStopped(unfinished: number): void {
    const line = { event: 'switch.stopped', unfinished }
    if (unfinished > 0) this.#pino.warn(line)
    else this.#pino.info(line)
  }

  /** A defect or an operating fault; `where` is a closed word of ours. */
  faultCaught(where: string, error: unknown): void {
    this.#pino.error({ event: 'fault.caught', where, ...toldOf(error) })
  }
}

/**
 * A text without runs of digits or hex that could be card data or keys. It fails closed: any run of
 * eight or more, also one broken by single spaces, colons or dashes.
 *
 * @param text a sentence, e.g. of a driver's error
 */
export function scrubbed(text: string): string {
  return text
    .slice(0, ERROR_TEXT_MAX)
    .replace(/[0-9A-Fa-f](?:[ :-]?[0-9A-Fa-f]){7,}(?:[=D][0-9]*)?/g, '[digits]')
}

/** Name, code, scrubbed text and the places of an error. */
function toldOf(error: unknown): Record<string, string> {
  if (!(error instanceof Error)) return { error: typeof error }
  const { code } = error as Error & { code?: unknown }
  const frames = (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at '))
  return {
    error: error.name,
    code: typeof code === 'string' ? shortCode(code) : '',
    text: scrubbed(error.message),
    stack: frames.slice(0, STACK_FRAMES_MAX).map(placeOf).join(' < '),
  }
}

/** `    at step (file:///checkout/switch/a.ts:1:2)` without the way to the checkout. */
function placeOf(frame: string): string {
  return frame.trim().replace(ROOT, '').slice(3)
}

const ROOT = new URL('../..', import.meta.url).href

/** A response or error code: short, or it is not a code. */
function shortCode(code: string): string {
  return code.length <= 40 && /^[A-Za-z0-9_]*$/.test(code) && !/[0-9]{8}/.test(code) ? code : '?'
}

function flushQuietly(sink: { flushSync(): void }): void {
  try {
    sink.flushSync()
  } catch {
    // Not open yet, or its reader has gone: there is nowhere to say so.
  }
}
