/**
 * A peer that speaks bytes written by hand: for tests that send what no simulator would.
 *
 * The partner's messages (ISO 8583:1987 in ASCII, two-byte length) are built and read here field by
 * field with strings, apart from the codec under test.
 */

import { connect, type Socket } from 'node:net'
import type { World } from './world.ts'

/** Length digits (0 = fixed) of the fields these tests use; binary fields are hexadecimal text. */
const PREFIX: Readonly<Record<number, number>> = {
  2: 2, 32: 2, 33: 2, 35: 2, 48: 3, 54: 3, 55: 3, 62: 3, 100: 2,
}
const FIXED: Readonly<Record<number, number>> = {
  3: 6, 4: 12, 7: 10, 11: 6, 12: 6, 13: 4, 14: 4, 15: 4, 18: 4, 22: 3, 23: 3, 25: 2, 37: 12, 38: 6,
  39: 2, 41: 8, 42: 15, 43: 40, 49: 3, 52: 16, 64: 16, 70: 3, 90: 42, 95: 42,
}

export type Fields = Readonly<Record<number, string>>

/** A message as text: MTI, bitmap in hexadecimal, fields ascending. */
export function partnerMessage(mti: string, fields: Fields): string {
  const numbers = Object.keys(fields).map(Number).sort((a, b) => a - b)
  const bits = new Array<number>(128).fill(0)
  for (const field of numbers) bits[field - 1] = 1
  const second = numbers.some((field) => field > 64)
  if (second) bits[0] = 1
  let bitmap = ''
  for (let at = 0; at < (second ? 128 : 64); at += 4) {
    bitmap += parseInt(bits.slice(at, at + 4).join(''), 2).toString(16).toUpperCase()
  }
  let body = ''
  for (const field of numbers) {
    const value = fields[field] ?? ''
    const digits = PREFIX[field] ?? 0
    body += (digits === 0 ? '' : String(value.length).padStart(digits, '0')) + value
  }
  return mti + bitmap + body
}

/** The fields of such a message; `mti` is field 0. */
export function partnerFields(text: string): Record<number, string> {
  const found: Record<number, string> = { 0: text.slice(0, 4) }
  const first = BigInt(`0x${text.slice(4, 20)}`)
  const second = (first >> 63n) === 1n
  const map = second ? BigInt(`0x${text.slice(4, 36)}`) : first << 64n
  let at = second ? 36 : 20
  for (let field = 2; field <= 128; field++) {
    if (((map >> BigInt(128 - field)) & 1n) === 0n) continue
    const digits = PREFIX[field] ?? 0
    const length = digits === 0 ? (FIXED[field] ?? 0) : Number(text.slice(at, at + digits))
    found[field] = text.slice(at + digits, at + digits + length)
    at += digits + length
  }
  return found
}

export class RawPeer {
  readonly socket: Socket
  readonly #world: World
  received = Buffer.alloc(0)
  closed = false

  constructor(world: World, link: string) {
    this.#world = world
    const port = world.config.links.find((one) => one.name === link)?.listen?.port ?? 0
    this.socket = connect({ host: '127.0.0.1', port })
    this.socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk])
    })
    this.socket.on('close', () => {
      this.closed = true
    })
    this.socket.on('error', () => undefined)
  }

  send(hex: string): void {
    this.socket.write(Buffer.from(hex.replace(/ /g, ''), 'hex'))
  }

  /** Sends text with two bytes of length before it. */
  sendText(text: string): void {
    const body = Buffer.from(text, 'latin1')
    this.socket.write(Buffer.concat([Buffer.from([body.length >> 8, body.length & 0xff]), body]))
  }

  /** What came, once something came or the line ended. */
  async answer(): Promise<Buffer> {
    await this.#world.until('an answer', () => this.received.length > 0 || this.closed)
    const got = this.received
    this.received = Buffer.alloc(0)
    return got
  }

  /** Sends one message of the partner's dialect and reads its answer. */
  async ask(mti: string, fields: Fields): Promise<Record<number, string>> {
    this.sendText(partnerMessage(mti, fields))
    return partnerFields((await this.answer()).toString('latin1').slice(2))
  }

  async untilClosed(): Promise<void> {
    await this.#world.until('the connection to be closed', () => this.closed)
  }

  end(): void {
    this.socket.destroy()
  }
}

/** A partner that has signed on. */
export async function signedOnPartner(world: World): Promise<RawPeer> {
  const peer = new RawPeer(world, 'partner')
  await peer.ask('0800', { 7: '1122120000', 11: '000001', 70: '001' })
  return peer
}
