// A peer's own book: what it approved, declined and reversed, to be compared with the switch's
// books after any trouble. Kept in memory and appended line by line to a JSON-lines file, one
// synchronous write per line, so that a killed simulator has lost nothing it answered. Used by the
// scheme and terminal simulators. PANs enter masked, with a keyed hash; never clear.

import { createHmac } from 'node:crypto'
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

import type { Clock } from '../switch/runtime/clock.ts'
import { maskPan } from '../switch/secrets.ts'

/** What can stand in a line. Amounts are minor units. */
export interface BookLine {
  /** ISO 8601 UTC. */
  readonly at: string
  readonly peer: string
  readonly event: string
  /** Identifies the original transaction at this peer; a reversal carries its original's key. */
  readonly key: string
  readonly mti: string
  readonly stan: string
  readonly rrn: string
  readonly amount_minor: number
  readonly currency: string
  readonly pan_masked: string
  readonly card_ref: string
  readonly code: string
  readonly auth: string
  readonly reference: string
  /** 1 debits the card, 0 moves nothing. */
  readonly debit: 0 | 1
}

const LINE_BYTES_MAX = 4_096 // far above any line; one write of it is not torn by a kill
const HASH_DIGITS = 16 // 64 bits tell the cards of a demonstration apart

/** The JSON-lines file behind a book, or none. */
export class BookFile {
  readonly #handle: number | null
  readonly #peer: string
  readonly #secret: Uint8Array
  readonly #clock: Clock
  readonly earlier: readonly BookLine[]

  /**
   * @param path null for a book in memory only; missing folders are made
   * @param secret key of the PAN hash; the same one gives the same card_ref after a restart
   */
  constructor(path: string | null, peer: string, secret: Uint8Array, clock: Clock) {
    this.#peer = peer
    this.#secret = Uint8Array.from(secret)
    this.#clock = clock
    if (path === null) {
      this.#handle = null
      this.earlier = []
      return
    }
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    this.#handle = openSync(path, 'a+', 0o600)
    this.earlier = readLines(this.#handle)
  }

  /** Keyed hash of a PAN, upper-case hex. */
  cardRef(pan: string): string {
    const digest = createHmac('sha256', this.#secret).update(pan, 'ascii').digest('hex')
    return digest.slice(0, HASH_DIGITS).toUpperCase()
  }

  /** Appends a line and returns it as written. */
  append(event: string, pan: string, rest: Partial<BookLine>): BookLine {
    const line: BookLine = {
      at: new Date(this.#clock.wallMs()).toISOString(),
      peer: this.#peer,
      event,
      key: '',
      mti: '',
      stan: '',
      rrn: '',
      amount_minor: 0,
      currency: '',
      code: '',
      auth: '',
      reference: '',
      debit: 0,
      ...rest,
      pan_masked: pan === '' ? '' : maskPan(pan),
      card_ref: pan === '' ? '' : this.cardRef(pan),
    }
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`, 'utf8')
    if (bytes.length > LINE_BYTES_MAX) throw new RangeError('line of a book is too long')
    if (this.#handle !== null) writeSync(this.#handle, bytes)
    return line
  }

  close(): void {
    if (this.#handle !== null) closeSync(this.#handle)
  }
}

/** Lines of an open file; a last line that a kill or a full disk cut off is removed. */
function readLines(handle: number): BookLine[] {
  const text = readFileSync(handle, 'utf8')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  if (whole.length < text.length) ftruncateSync(handle, Buffer.byteLength(whole, 'utf8'))
  const lines: BookLine[] = []
  for (const row of whole.split('\n')) {
    if (row !== '') lines.push(JSON.parse(row) as BookLine)
  }
  return lines
}

/** A request as its issuer entered it. */
export interface BookRequest {
  readonly key: string
  readonly mti: string
  readonly stan: string
  readonly rrn: string
  readonly pan: string
  readonly amountMinor: number
  readonly currency: string
  readonly debit: boolean
}

/** How a request ended at the issuer. */
export interface BookVerdict {
  readonly code: string
  /** DE38, '' when declined. */
  readonly auth: string
  /** The network's own id of the transaction, '' when it has none. */
  readonly reference: string
}

interface Entry extends BookVerdict {
  readonly cardRef: string
  readonly amountMinor: number
  readonly moved: boolean
  reversed: boolean
  releasedMinor: number // by its reversal; less than the amount when that was partial
}

/** `reversed` now, `already` before, or `unknown` original: remembered, so that it is refused. */
export type ReversalVerdict = 'reversed' | 'already' | 'unknown'

/** Sums of a book in minor units. */
export interface BookTotals {
  readonly approved: number
  readonly approvedMinor: bigint
  readonly declined: number
  readonly reversed: number
  readonly reversedMinor: bigint
  readonly netMinor: bigint
}

/**
 * An issuer's book over its file: each request is entered once, each original reversed once,
 * however often either is repeated, also after a restart.
 */
export class IssuerBook {
  readonly #file: BookFile
  readonly #entries = new Map<string, Entry>()
  readonly #byReference = new Map<string, string>()
  readonly #refused = new Set<string>()
  readonly #moved = new Map<string, bigint>() // net debits by card_ref
  readonly #stateByRrn = new Map<string, string>()

  constructor(file: BookFile) {
    this.#file = file
    for (const line of file.earlier) this.#replay(line)
  }

  /** The verdict given before on this key, or null. */
  earlierVerdict(key: string): BookVerdict | null {
    return this.#entries.get(key) ?? null
  }

  /** Whether a reversal for this key came before its request. */
  wasReversedUnseen(key: string): boolean {
    return this.#refused.has(key)
  }

  /** Key of the request that was given this network reference, or null. */
  keyOfReference(reference: string): string | null {
    return this.#byReference.get(reference) ?? null
  }

  /** Enters a request with its verdict; approved is `00`. */
  enter(request: BookRequest, verdict: BookVerdict): void {
    if (this.#entries.has(request.key)) throw new Error('a request is entered once')
    const line = this.#file.append(verdict.code === '00' ? 'approved' : 'declined', request.pan, {
      key: request.key,
      mti: request.mti,
      stan: request.stan,
      rrn: request.rrn,
      amount_minor: request.amountMinor,
      currency: request.currency,
      debit: request.debit ? 1 : 0,
      ...verdict,
    })
    this.#replay(line)
  }

  /**
   * Reverses the original `key` once; `pan` and the rest describe the reversal message. `keptMinor`
   * stays booked when the reversal is partial.
   */
  reverse(
    key: string, pan: string, reversal: Partial<BookLine>, keptMinor = 0,
  ): ReversalVerdict {
    const entry = this.#entries.get(key)
    const unknown = entry === undefined || entry.cardRef !== this.#file.cardRef(pan)
    if (unknown && entry !== undefined) {
      this.#file.append('reversal_of_other_card', pan, { ...reversal, key })
      return 'unknown'
    }
    if (entry === undefined) {
      const event = this.#refused.has(key) ? 'reversal_repeated' : 'reversal_unmatched'
      this.#replay(this.#file.append(event, pan, { ...reversal, key }))
      return 'unknown'
    }
    if (entry.reversed) {
      this.#file.append('reversal_repeated', pan, { ...reversal, key })
      return 'already'
    }
    const amount_minor = entry.moved ? Math.max(0, entry.amountMinor - keptMinor) : 0
    this.#replay(this.#file.append('reversed', pan, { ...reversal, key, amount_minor }))
    return 'reversed'
  }

  /** Writes a line that moves nothing: a violation of the protocol, a request sent, an answer. */
  note(event: string, pan: string, rest: Partial<BookLine>): void {
    this.#file.append(event, pan, rest)
  }

  /** What the card has left of its opening balance, minor units. */
  balanceMinor(pan: string, openingMinor: bigint): bigint {
    return openingMinor - (this.#moved.get(this.#file.cardRef(pan)) ?? 0n)
  }

  totals(): BookTotals {
    const sums = { approved: 0, approvedMinor: 0n, declined: 0, reversed: 0, reversedMinor: 0n }
    for (const entry of this.#entries.values()) {
      if (entry.code !== '00') {
        sums.declined += 1
        continue
      }
      sums.approved += 1
      const amount = entry.moved ? BigInt(entry.amountMinor) : 0n
      sums.approvedMinor += amount
      if (!entry.reversed) continue
      sums.reversed += 1
      sums.reversedMinor += BigInt(entry.releasedMinor)
    }
    return { ...sums, netMinor: sums.approvedMinor - sums.reversedMinor }
  }

  /** State of a request by retrieval reference number, for checks: its last event, or null. */
  stateOfRrn(rrn: string): string | null {
    return this.#stateByRrn.get(rrn) ?? null
  }

  #replay(line: BookLine): void {
    switch (line.event) {
      case 'approved':
      case 'declined': {
        const moved = line.event === 'approved' && line.debit === 1
        this.#entries.set(line.key, {
          code: line.code,
          auth: line.auth,
          reference: line.reference,
          cardRef: line.card_ref,
          amountMinor: line.amount_minor,
          moved,
          reversed: false,
          releasedMinor: 0,
        })
        if (line.reference !== '') this.#byReference.set(line.reference, line.key)
        if (moved) this.#move(line.card_ref, BigInt(line.amount_minor))
        this.#stateByRrn.set(line.rrn, line.event)
        return
      }
      case 'reversed': {
        const entry = this.#entries.get(line.key)
        if (entry === undefined || entry.reversed) return
        entry.reversed = true
        entry.releasedMinor = line.amount_minor
        this.#move(entry.cardRef, -BigInt(line.amount_minor))
        this.#stateByRrn.set(line.rrn, line.event)
        return
      }
      case 'reversal_unmatched':
        this.#refused.add(line.key)
        this.#stateByRrn.set(line.rrn, line.event)
        return
      default: // everything else is there to be read by people and checks
        return
    }
  }

  #move(cardRef: string, amountMinor: bigint): void {
    this.#moved.set(cardRef, (this.#moved.get(cardRef) ?? 0n) + amountMinor)
  }
}
