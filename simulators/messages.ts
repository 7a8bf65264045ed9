// Messages as simulators write and read them: a dialect and a framing from switch/codec and
// switch/framing behind a small surface. This is the one file of the simulators that knows the
// codec's API. It knows nothing of what messages mean, and must not print their content.

import { compileDialect, type Dialect } from '../switch/codec/dialect.ts'
import type { DialectSpec } from '../switch/codec/spec.ts'
import { Fault } from '../switch/codec/fault.ts'
import { View } from '../switch/codec/view.ts'
import { walk } from '../switch/codec/walk.ts'
import { MessageWriter } from '../switch/codec/writer.ts'
import type { Framing } from '../switch/framing/framing.ts'
import { framingFor } from '../switch/framing/framings.ts'
import { loadDialectSpec } from '../config/dialects.ts'

/** Field number to text or bytes; an undefined value is a field that is left out. */
export type Fields = Readonly<Record<number, string | Uint8Array | undefined>>

const MESSAGE_BYTES_MAX = 4_096 // frame_bytes_max of the configuration's defaults

/** A message that was read; its bytes are its own copy. */
export class ReadMessage {
  readonly #view: View
  /** Header of the dialect, MTI, bitmaps and fields. */
  readonly bytes: Uint8Array

  constructor(view: View, bytes: Uint8Array) {
    this.#view = view
    this.bytes = bytes
  }

  get mti(): string {
    return this.#view.mti
  }

  /** The dialect's own header; no bytes when it has none. */
  header(): Uint8Array {
    return Uint8Array.from(this.#view.header())
  }

  has(field: number): boolean {
    return this.#view.has(field)
  }

  /** Text as the standard counts it; '' when absent. */
  text(field: number): string {
    return this.#view.text(field)
  }

  /** Text with outer blanks removed. */
  word(field: number): string {
    return this.#view.text(field).trim()
  }

  /** Bytes of the value, copied; none when absent. */
  bytesOf(field: number): Uint8Array {
    return Uint8Array.from(this.#view.bytes(field))
  }

  /** Amount in minor units, or null when absent. */
  amountMinor(field = 4): number | null {
    return this.#view.has(field) ? this.#view.digitsToNumber(field) : null
  }

  /** Length digits and value exactly as they stand on the wire, for a CUPS MAB; '' when absent. */
  wireText(field: number): string {
    if (!this.#view.has(field)) return ''
    const from = this.#view.fieldStart(field)
    return Buffer.from(this.bytes.subarray(from, this.#view.valueEnd(field))).toString('latin1')
  }

  /** Everything from the MTI up to a field, as packed MACs take it. */
  bytesBefore(field: number): Uint8Array {
    return this.bytes.slice(this.#view.bodyStart, this.#view.fieldStart(field))
  }

  /** Numbers of the fields that are there, ascending. */
  fields(): number[] {
    return [...this.#view.fields()]
  }

  /** The named fields that are there, as values for a new message of the same dialect. */
  pick(fields: readonly number[]): Record<number, string | Uint8Array> {
    const out: Record<number, string | Uint8Array> = {}
    for (const field of fields) if (this.has(field)) out[field] = this.text(field)
    return out
  }
}

/** One dialect over one framing. */
export class Wire {
  readonly dialect: Dialect
  readonly framing: Framing
  readonly #writer: MessageWriter

  /** @throws Error when no such dialect or framing exists */
  constructor(dialectName: string, framingName: string) {
    this.dialect = compileDialect(loadDialectSpec(dialectName) as DialectSpec)
    this.framing = framingFor(framingName)
    this.#writer = new MessageWriter(this.dialect, MESSAGE_BYTES_MAX)
  }

  /** Reads a message (without envelope), or returns why it cannot be read: kind, field, offset. */
  read(message: Uint8Array): ReadMessage | string {
    const bytes = Uint8Array.from(message)
    const view = new View(this.dialect)
    const fault = new Fault()
    if (walk(this.dialect, bytes, 0, bytes.length, view, fault)) return new ReadMessage(view, bytes)
    return `${fault.kind} in field ${fault.field} at ${fault.offset}`
  }

  /**
   * Writes a message.
   *
   * @throws Error naming the field that the dialect cannot carry, never its value
   */
  write(mti: string, fields: Fields, header?: Uint8Array): Uint8Array {
    this.#writer.begin(mti)
    if (header !== undefined) this.#writer.header(header)
    for (const [key, value] of Object.entries(fields)) {
      if (value === undefined) continue
      if (typeof value === 'string') this.#writer.setText(Number(key), value)
      else this.#writer.setBytes(Number(key), value)
    }
    const produced = this.#writer.finish()
    if (produced !== null) return Uint8Array.from(produced.frame)
    const { kind, field } = this.#writer.fault
    throw new Error(`${this.dialect.name} ${mti}: field ${field}: ${kind}`)
  }

  /**
   * Writes a message whose field `macField` authenticates it.
   *
   * @param mac makes the field's value from the message as it is with eight zero bytes there
   */
  writeAuthenticated(
    mti: string,
    fields: Fields,
    macField: number,
    mac: (message: ReadMessage) => Uint8Array,
    header?: Uint8Array,
  ): Uint8Array {
    const draft = this.read(this.write(mti, { ...fields, [macField]: new Uint8Array(8) }, header))
    if (typeof draft === 'string') throw new Error(`${this.dialect.name} ${mti}: own ${draft}`)
    return this.write(mti, { ...fields, [macField]: mac(draft) }, header)
  }
}
