/**
 * Network management messages: our sign-on, sign-off and echo, and our answers to the peer's.
 *
 * Used by link.ts. What they carry is data (`meaning.network` of the dialect). It must never send
 * anything itself. Sources: cups-host.md section 11, visa.md section 8, behaviours.md 46, 47, 49.
 */
import type { Dialect } from '../codec/dialect.ts'
import type { View } from '../codec/view.ts'
import { answerMti } from '../codec/mti.ts'
import { MessageWriter } from '../codec/writer.ts'
import type { Clock } from '../runtime/clock.ts'
import type { LinkSettings } from './contract.ts'
import { hourMinuteSecond, LocalTime, monthDay, yearDayHour } from './local-time.ts'

/** What we ask a peer ourselves. */
export type NetworkAct = 'sign_on' | 'sign_off' | 'echo'

/** What a peer asks; the link answers the first three itself. */
export type NetworkKind = NetworkAct | 'key_exchange' | 'cutover' | 'other'

/** Makes the value of one field of our request. */
type Item = (stan: string, wallMs: number) => string | Uint8Array

const DE_STAN = 11

export class NetworkMessages {
  readonly success: string
  readonly #settings: LinkSettings
  readonly #dialect: Dialect
  readonly #network: NonNullable<LinkSettings['meaning']['network']>
  readonly #writer: MessageWriter
  readonly #clock: Clock
  readonly #nextStan: () => string
  readonly #items: ReadonlyArray<readonly [field: number, item: Item]>
  readonly #kinds: ReadonlyMap<string, NetworkKind>
  readonly #accepted: ReadonlySet<string>
  readonly #responseCodeField: number
  /** Fields in which the peer names itself, as we name ourselves in ours. */
  readonly #identityFields: readonly number[]

  /**
   * @param nextStan gives six digits that were not used on this link today
   * @throws Error naming the link when the dialect cannot carry what its meaning asks for
   */
  constructor(settings: LinkSettings, clock: Clock, nextStan: () => string, timeZone: string) {
    const network = settings.meaning.network
    if (network === undefined) {
      throw new Error(`link ${settings.name}: its dialect has no network messages`)
    }
    this.#settings = settings
    this.#dialect = settings.dialect
    this.#network = network
    this.#writer = new MessageWriter(settings.dialect, settings.frameBytesMax)
    this.#clock = clock
    this.#nextStan = nextStan
    this.#responseCodeField = settings.meaning.response_code_field
    this.success = network.success
    this.#accepted = new Set(network.accepted_mtis)
    this.#kinds = kindsByCode(network.codes)
    this.#items = this.#compileItems(timeZone)
    this.#identityFields = Object.keys(network.fields)
      .filter((field) => network.fields[field] === 'institution')
      .map(Number)
    if (!this.#items.some(([field]) => field === DE_STAN)) {
      throw new Error(`link ${settings.name}: network messages need a STAN in field 11`)
    }
    // One of each is built now, so that a wrong length or coding shows at start.
    for (const act of ['sign_on', 'sign_off', 'echo'] as const) this.#build(act, '000001')
  }

  /**
   * What a message of class 8 asks; 'other' for an MTI or a code that the dialect does not name.
   */
  kindOf(view: View): NetworkKind {
    if (!this.#accepted.has(view.mti)) return 'other'
    return this.#kinds.get(view.text(this.#network.code_field)) ?? 'other'
  }

  /** A request of ours: dialect header and body. */
  request(act: NetworkAct): Buffer {
    return this.#build(act, this.#nextStan())
  }

  /** The answer to a request of the peer. */
  answer(view: View, accepted: boolean): Buffer {
    const writer = this.#writer
    writer.begin(answerMti(view.mti))
    const header = this.#dialect.header
    if (header !== null) writer.header(header.reply(view.header(), this.#settings.institution))
    for (const field of this.#network.answer_echo) writer.copy(view, field)
    const { success, failure } = this.#network
    writer.setText(this.#responseCodeField, accepted ? success : failure)
    return this.#finish()
  }

  /** The peer's answer to one of our requests: '' when it says yes, otherwise its response code. */
  refusal(view: View): string {
    const code = view.text(this.#responseCodeField)
    if (code === this.success) return ''
    // What a peer puts there ends up in a log line: anything but a plain code is not repeated.
    return /^[0-9A-Za-z]{1,4}$/.test(code) ? code : 'no_code'
  }

  /**
   * Whether a request that names its sender names the peer we expect; one that names nobody passes.
   */
  namesOurPeer(view: View): boolean {
    const expected = bareId(this.#settings.peerInstitution)
    if (expected === '') return true
    for (const field of this.#identityFields) {
      if (view.has(field) && bareId(view.text(field)) !== expected) return false
    }
    return true
  }

  #build(act: NetworkAct, stan: string): Buffer {
    const writer = this.#writer
    const wallMs = this.#clock.wallMs()
    writer.begin(this.#network.request_mti)
    const header = this.#dialect.header
    if (header !== null) writer.header(header.request(this.#settings.institution))
    for (const [field, item] of this.#items) {
      const value = item(stan, wallMs)
      if (typeof value === 'string') writer.setText(field, value)
      else writer.setBytes(field, value)
    }
    writer.setText(this.#network.code_field, this.#network.codes[act])
    return this.#finish()
  }

  #finish(): Buffer {
    const built = this.#writer.finish()
    if (built !== null) return built.frame
    const { kind, field } = this.#writer.fault
    throw new Error(`link ${this.#settings.name}: network message, field ${field}: ${kind}`)
  }

  #compileItems(timeZone: string): ReadonlyArray<readonly [number, Item]> {
    const local = new LocalTime(timeZone)
    const zoned = (wallMs: number): number => wallMs + local.offsetMs(wallMs)
    const transmission = this.#settings.meaning.transmission_time === 'utc' ? same : zoned
    const items: Record<string, Item> = {
      transmission_time: (_stan, wallMs) => {
        const at = transmission(wallMs)
        return monthDay(at) + hourMinuteSecond(at)
      },
      stan: (stan) => stan,
      institution: () => this.#settings.institution,
      own_id: () => this.#settings.institution, // where the peer does not name itself
      peer_institution: () => this.#settings.peerInstitution,
      rrn: (stan, wallMs) => yearDayHour(wallMs) + stan,
      local_time: (_stan, wallMs) => hourMinuteSecond(zoned(wallMs)),
      local_date: (_stan, wallMs) => monthDay(zoned(wallMs)),
      local_date_time: (_stan, wallMs) => {
        const at = zoned(wallMs)
        return yearOf(at) + monthDay(at) + hourMinuteSecond(at)
      },
    }
    return Object.entries(this.#network.fields).map(([field, name]) => {
      const item = constantItem(name) ?? items[name]
      if (item === undefined) {
        throw new Error(`link ${this.#settings.name}: network field ${field}: no item "${name}"`)
      }
      return [Number(field), item] as const
    })
  }
}

/** Two digits, as DE12 of 1993 has them. */
function yearOf(wallMs: number): string {
  return String(new Date(wallMs).getUTCFullYear() % 100).padStart(2, '0')
}

function same(wallMs: number): number {
  return wallMs
}

function constantItem(name: string): Item | null {
  if (name.startsWith('const:')) {
    const text = name.slice('const:'.length)
    return () => text
  }
  if (name.startsWith('hex:')) {
    const bytes = Buffer.from(name.slice('hex:'.length), 'hex')
    return () => bytes
  }
  return null
}

/** An institution id without what fields of fixed length add to it. */
function bareId(text: string): string {
  return text.trim().replace(/^0+/, '')
}

function kindsByCode(
  codes: NonNullable<LinkSettings['meaning']['network']>['codes'],
): ReadonlyMap<string, NetworkKind> {
  const kinds = new Map<string, NetworkKind>()
  for (const code of codes.cutover) kinds.set(code, 'cutover')
  for (const code of codes.key_exchange) kinds.set(code, 'key_exchange')
  for (const [code, act] of Object.entries(codes.also)) kinds.set(code, act)
  kinds.set(codes.sign_on, 'sign_on')
  kinds.set(codes.sign_off, 'sign_off')
  kinds.set(codes.echo, 'echo')
  return kinds
}
