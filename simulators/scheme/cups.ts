// The CUPS simulator: the switching centre, the issuers of other banks' cards behind it, and (in
// cups-acquirer.ts) other banks' terminals that take the bank's own cards. Started by `switchyard
// simulate cups` and by tests. Built from the interface facts (cups-host.md); it must never import
// the pipeline, link or journal.
//
//   member's outbound line: we listen       our own line: we dial, into the member's listener
//     member 0820 001 -> 0830 00              0820 001 -> member 0830 00
//     0800 101 PIK, then MAK  -> 0810 00      0200, 0420 -> 0210, 0430
//     member 0200, 0420 -> 0210, 0430
//
// Answers go back on the line their request came on; answers to us are accepted on any line,
// because they are matched by DE7, DE11 and DE33 and never by socket.

import { toHex } from '../../hsm/algorithms/bytes.ts'
import { type Clock, type Timer, wait } from '../../switch/runtime/clock.ts'
import type { Random } from '../../switch/runtime/random.ts'
import type { IssuerBook } from '../book.ts'
import { beijing } from '../calendar.ts'
import type { FaultRules } from '../faults.ts'
import { KEY_LABEL, type OutsideToken, type WorkingKey, freshKey } from '../keys.ts'
import { type ReadMessage, Wire } from '../messages.ts'
import { type Address, type Line, type Listening, dialLine, listenForLines } from '../transport.ts'
import { CupsIssuer, type Values } from './cups-issuer.ts'
import { CupsKeys, keyResetField, macField, newKeyField, spoilMac } from './cups-security.ts'
import { deliver } from './delivery.ts'
import type { SimulatorLog } from './log.ts'

export interface CupsOptions {
  readonly listen: Address
  /** The member's listener; null = no line of our own. */
  readonly dial: Address | null
  readonly token: OutsideToken
  readonly clock: Clock
  readonly random: Random
  readonly book: IssuerBook
  readonly rules: FaultRules
  readonly log: SimulatorLog
  /** Institution ids in the 46-byte header. */
  readonly ownId?: string
  readonly memberId?: string
  /** `0000` is sent on each line after this long, ms. */
  readonly idleMs?: number
}

/** Another bank's side of this simulator; see cups-acquirer.ts. */
export interface AnswerSink {
  /** Takes an answer to one of our requests; false when it waits for no such answer. */
  answered(message: ReadMessage): boolean
}

const IDLE_MS = 30_000 // below the 60 s that members are known to send at
const NETWORK_ANSWER_MS = 5_000
const KEY_ATTEMPTS_MAX = 5
const SIGN_OFF_MS = 100 // for our sign-off to leave; its answer is not needed
const REDIAL_MS_MIN = 500
const REDIAL_MS_MAX = 2_000
const IDLE_FRAME = Uint8Array.of(0x30, 0x30, 0x30, 0x30)

export class CupsSimulator {
  readonly wire = new Wire('cups', 'cups4')
  readonly keys = new CupsKeys()
  readonly #options: CupsOptions
  readonly #ownId: string
  readonly #memberId: string
  readonly #members = new Set<Line>() // lines on which the member has signed on
  readonly #lines = new Set<Line>()
  #acquirer: AnswerSink | null = null
  #listening: Listening | null = null
  #own: Line | null = null
  #ownReady = false
  #redialMs = REDIAL_MS_MIN
  #stopped = false
  #idle: Timer | null = null
  #dialTimer: Timer | null = null // pause before dialling, or wait for the answer to our sign-on
  #offered: { kind: 'pin' | 'mac'; key: WorkingKey; stan: string; timer: Timer } | null = null
  #signOnStan = ''
  #stan: number
  readonly #issuer: CupsIssuer

  constructor(options: CupsOptions) {
    this.#options = options
    this.#ownId = options.ownId ?? '00010000'
    this.#memberId = options.memberId ?? '10010001'
    this.#stan = options.random.below(900_000)
    this.#issuer = new CupsIssuer(options, this.keys)
  }

  /** Begins to listen and to dial. @returns the port listened on */
  async start(): Promise<number> {
    this.#listening = await listenForLines(
      this.#options.listen,
      this.wire.framing,
      this.#events(false),
    )
    this.#dial()
    const idleMs = this.#options.idleMs ?? IDLE_MS
    this.#idle = this.#options.clock.every(idleMs, () => {
      for (const line of this.#lines) line.sendRaw(IDLE_FRAME)
    })
    return this.#listening.port
  }

  /** Signs off on our own line and closes everything. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#idle?.cancel()
    this.#dialTimer?.cancel()
    this.#offered?.timer.cancel()
    if (this.#ownReady && this.#own !== null) {
      this.#request(this.#own, '0820', this.#network('002'))
      await wait(this.#options.clock, SIGN_OFF_MS) // closing at once would throw it away
    }
    this.#own?.close('stopping')
    await this.#listening?.close()
  }

  /** Who takes answers to requests of our own. */
  attach(acquirer: AnswerSink): void {
    this.#acquirer = acquirer
  }

  /** State for operators and tests; nothing secret. */
  status(): { membersSignedOn: number; ownLineReady: boolean; pinCheck: string; macCheck: string } {
    const { pin, mac } = this.keys.checkValues()
    return {
      membersSignedOn: this.#members.size,
      ownLineReady: this.#ownReady,
      pinCheck: pin,
      macCheck: mac,
    }
  }

  /** Fresh STAN of messages that we begin. */
  nextStan(): string {
    this.#stan = (this.#stan % 999_999) + 1
    return String(this.#stan).padStart(6, '0')
  }

  /** Sends a financial message of our own, with MAC, on our own line; false when not ready. */
  sendOwn(mti: string, fields: Values, spoilt: boolean): boolean {
    const line = this.#own
    if (line === null || !this.#ownReady) return false
    return line.send(this.#header(), this.#authenticated(mti, fields, spoilt))
  }

  #events(own: boolean): {
    opened(line: Line): void
    message(line: Line, envelope: Uint8Array, message: Uint8Array): void
    idle(line: Line): void
    closed(line: Line, cause: string): void
  } {
    return {
      opened: (line) => {
        this.#lines.add(line)
        this.#options.log('line.opened', { own, remote: line.remote })
        if (!own) return
        this.#redialMs = REDIAL_MS_MIN
        this.#signOn(line)
      },
      message: (line, envelope, message) => this.#receive(line, envelope, message),
      idle: () => undefined, // neither answered nor counted
      closed: (line, cause) => {
        this.#lines.delete(line)
        this.#members.delete(line)
        this.#options.log('line.closed', { own, remote: line.remote, cause })
        if (own) this.#redial()
      },
    }
  }

  // ---- our own line --------------------------------------------------------------------------

  #dial(): void {
    const to = this.#options.dial
    if (to === null || this.#stopped) return
    this.#own = dialLine(to, this.wire.framing, this.#events(true))
  }

  /** Dials again after a pause that doubles up to its bound, shortened by up to a quarter. */
  #redial(): void {
    this.#ownReady = false
    this.#own = null
    if (this.#stopped) return
    const pauseMs = this.#redialMs - this.#options.random.below(Math.ceil(this.#redialMs / 4))
    this.#redialMs = Math.min(this.#redialMs * 2, REDIAL_MS_MAX)
    this.#dialTimer?.cancel()
    this.#dialTimer = this.#options.clock.after(pauseMs, () => this.#dial())
  }

  #signOn(line: Line): void {
    if (this.#stopped || line !== this.#own) return
    const fields = this.#network('001')
    this.#signOnStan = String(fields[11])
    this.#request(line, '0820', fields)
    this.#dialTimer?.cancel()
    this.#dialTimer = this.#options.clock.after(NETWORK_ANSWER_MS, () => {
      if (!this.#ownReady) this.#signOn(line)
    })
  }

  #network(code: string): Values {
    const now = this.#options.clock.wallMs()
    return { 7: beijing(now).transmission, 11: this.nextStan(), 70: code, 100: this.#memberId }
  }

  // ---- sending -------------------------------------------------------------------------------

  /** Header of a message that we begin: version 2, test link bit off, ids, zeros. */
  #header(): Uint8Array {
    const header = Buffer.alloc(46)
    header[0] = 46
    header[1] = 0x02
    header.write('0000', 2, 'latin1') // total length; the framing writes it
    header.write(this.#memberId.padEnd(11), 6, 'latin1')
    header.write(this.#ownId.padEnd(11), 17, 'latin1')
    header.write('00000000', 32, 'latin1')
    header.write('00000', 41, 'latin1')
    return Uint8Array.from(header)
  }

  #request(line: Line, mti: string, fields: Values): void {
    line.send(this.#header(), this.wire.write(mti, fields))
  }

  #authenticated(mti: string, fields: Values, spoilt: boolean): Uint8Array {
    const key = this.keys.macKey()
    if (key === null) return this.wire.write(mti, fields)
    return this.wire.writeAuthenticated(mti, fields, 128, (message) => {
      const field = macField(key, message)
      return spoilt ? spoilMac(field) : field
    })
  }

  #answer(line: Line, envelope: Uint8Array, message: Uint8Array): void {
    line.send(this.wire.framing.replyEnvelope(envelope), message)
  }

  // ---- receiving -----------------------------------------------------------------------------

  #receive(line: Line, envelope: Uint8Array, bytes: Uint8Array): void {
    const { log } = this.#options
    if (this.wire.framing.rejected(envelope)) {
      log('message.rejected_by_member', { code: textAt(envelope, 41, 5) })
      return
    }
    const refusal = this.#headerFault(envelope)
    if (refusal !== '00000') {
      this.#reject(line, envelope, bytes, refusal)
      return
    }
    const message = this.wire.read(bytes)
    if (typeof message === 'string') {
      log('message.unreadable', { why: message })
      this.#reject(line, envelope, bytes, '00065')
      return
    }
    this.#dispatch(line, envelope, message)
  }

  #dispatch(line: Line, envelope: Uint8Array, message: ReadMessage): void {
    switch (message.mti) {
      case '0820':
        this.#networkRequest(line, envelope, message)
        return
      case '0830':
        this.#networkAnswered(message)
        return
      case '0810':
        this.#keyAnswered(line, message)
        return
      case '0100':
      case '0200':
      case '0220':
        this.#authorise(line, envelope, message)
        return
      case '0420':
      case '0421':
        this.#reverse(line, envelope, message)
        return
      default: {
        const taken = message.mti[2] === '1' || message.mti[2] === '3'
        if (taken && this.#acquirer?.answered(message) === true) return
        this.#options.log('message.unexpected', { mti: message.mti, stan: message.text(11) })
      }
    }
  }

  /** Header checks in the order of their reject codes (cups-host.md section 2). */
  #headerFault(envelope: Uint8Array): string {
    const version = (envelope[1] ?? 0) & 0x7f
    if (envelope[0] !== 46) return '00015'
    if (version !== 1 && version !== 2) return '00025'
    if (textAt(envelope, 6, 11).trimEnd() !== this.#ownId) return '00045'
    if (textAt(envelope, 17, 11).trimEnd() !== this.#memberId) return '00055'
    return '00000'
  }

  /** Sends a message back unprocessed: a new header with the code, then the whole original. */
  #reject(line: Line, envelope: Uint8Array, bytes: Uint8Array, code: string): void {
    const header = Buffer.from(this.#header())
    header.write(code, 41, 'latin1')
    this.#options.log('message.rejected', { code })
    line.send(Uint8Array.from(header), Uint8Array.from(Buffer.concat([envelope, bytes])))
  }

  // ---- network management --------------------------------------------------------------------

  #networkRequest(line: Line, envelope: Uint8Array, message: ReadMessage): void {
    const code = message.text(70)
    const known = ['001', '002', '101', '301'].includes(code)
    if (code === '001') this.#members.add(line)
    if (code === '002') this.#members.delete(line)
    const fields = { ...message.pick([7, 11, 33, 53, 70, 100]), 39: known ? '00' : '40' }
    this.#answer(line, envelope, this.wire.write('0830', fields))
    this.#options.log('network.answered', { code, remote: line.remote })
    if (code === '001') this.#offer(line, 'pin', 1)
    if (code === '101') this.#offer(line, message.text(53).startsWith('2') ? 'mac' : 'pin', 1)
  }

  #networkAnswered(message: ReadMessage): void {
    const { log } = this.#options
    const code = message.text(39)
    log('network.answer_received', { code, stan: message.text(11) })
    if (message.text(11) !== this.#signOnStan || message.text(70) !== '001') return
    this.#ownReady = code === '00'
    if (this.#ownReady) this.#dialTimer?.cancel()
  }

  /** Begins new keys for the member: the PIN key, and after it the MAC key. */
  renewKeys(): boolean {
    const [line] = this.#members
    if (line === undefined) return false
    this.#offer(line, 'pin', 1)
    return true
  }

  /** 0800/101 with a fresh key (cups-host.md 9.4); sent again while no answer comes. */
  #offer(line: Line, kind: 'pin' | 'mac', attempt: number): void {
    const { token, clock, random, log } = this.#options
    this.#offered?.timer.cancel()
    const key = freshKey(random)
    const fields: Values = {
      ...this.#network('101'),
      48: newKeyField(key.wrappedUnder(token.cipher(KEY_LABEL.cupsExchange))),
      53: kind === 'pin' ? '1600000000000000' : '2600000000000000',
      96: new Uint8Array(8), // the key is in DE48, because it is double length
    }
    const message = this.wire.writeAuthenticated('0800', fields, 128, (draft) =>
      keyResetField(key, draft),
    )
    line.send(this.#header(), message)
    const timer = clock.after(NETWORK_ANSWER_MS, () => this.#offerAgain(line, kind, attempt))
    this.#offered = { kind, key, stan: String(fields[11]), timer }
    log('key.sent', { kind, check: toHex(key.checkValue(3)) })
  }

  #offerAgain(line: Line, kind: 'pin' | 'mac', attempt: number): void {
    this.#options.log('key.unanswered', { kind, attempt })
    if (attempt < KEY_ATTEMPTS_MAX && this.#members.has(line)) this.#offer(line, kind, attempt + 1)
  }

  #keyAnswered(line: Line, message: ReadMessage): void {
    const offered = this.#offered
    if (offered === null || message.text(11) !== offered.stan) {
      this.#options.log('network.unmatched_answer', { stan: message.text(11) })
      return
    }
    offered.timer.cancel()
    this.#offered = null
    const code = message.text(39)
    this.#options.log('key.answered', { kind: offered.kind, code })
    if (code !== '00') return
    this.keys.install(offered.kind, offered.key)
    if (offered.kind === 'pin') this.#offer(line, 'mac', 1)
  }

  // ---- financials -----------------------------------------------------------------------------

  #authorise(line: Line, envelope: Uint8Array, message: ReadMessage): void {
    const { clock, log } = this.#options
    // The member signs on as an institution, whichever line its messages then take.
    if (line === this.#own) {
      log('request.on_our_own_line', { mti: message.mti, stan: message.text(11) })
    }
    const { mti, fields, action } = this.#issuer.authorise(message, this.#members.size > 0)
    deliver(action, clock, {
      send: (spoilt) => this.#answer(line, envelope, this.#authenticated(mti, fields, spoilt)),
      drop: () => line.close('rule'),
    })
  }

  #reverse(line: Line, envelope: Uint8Array, message: ReadMessage): void {
    const { mti, fields, action } = this.#issuer.reverse(message)
    deliver(action, this.#options.clock, {
      send: (spoilt) => this.#answer(line, envelope, this.#authenticated(mti, fields, spoilt)),
      drop: () => line.close('rule'),
    })
  }
}

function textAt(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(bytes.subarray(at, at + length)).toString('latin1')
}
