// Messages written and read by hand, for tests of the simulators: slow, small, and without a line
// of switch/codec, so that a mistake there cannot agree with itself. Used by *.test.ts only.

import { connect, createServer, type Server, type Socket } from 'node:net'

import type { BlockCipher } from '../hsm/algorithms/cipher.ts'
import { tdesCipher } from '../hsm/algorithms/software-ciphers.ts'
import type { OutsideToken } from './keys.ts'

/**
 * How a field lies on the wire. `bcd`: packed digits, an odd count after a zero nibble; `bcdl`: the
 * same with the zero nibble behind; `text`: characters; `hex`: raw bytes given as hex; `hextext`:
 * bytes as hex characters. `len`: a fixed count, or the prefix: `L1` one binary byte, `B1`/`B2` one
 * or two BCD bytes, `A2`/`A3` two or three ASCII digits.
 */
export type Row = readonly [
  form: 'bcd' | 'bcdl' | 'text' | 'hex' | 'hextext',
  len: number | 'L1' | 'B1' | 'B2' | 'A2' | 'A3',
]

export interface Table {
  readonly characters: 'ascii' | 'ebcdic'
  readonly mti: 'bcd' | 'ascii'
  readonly bitmap: 'raw' | 'hextext'
  readonly rows: Readonly<Record<number, Row>>
}

/** VisaNet BASE I body (visa.md section 5). */
export const VISA: Table = {
  characters: 'ebcdic',
  mti: 'bcd',
  bitmap: 'raw',
  rows: {
    2: ['bcd', 'L1'],
    3: ['bcd', 6],
    4: ['bcd', 12],
    7: ['bcd', 10],
    11: ['bcd', 6],
    12: ['bcd', 6],
    13: ['bcd', 4],
    14: ['bcd', 4],
    18: ['bcd', 4],
    19: ['bcd', 3],
    22: ['bcd', 4],
    25: ['bcd', 2],
    26: ['bcd', 2],
    32: ['bcd', 'L1'],
    35: ['bcd', 'L1'],
    37: ['text', 12],
    38: ['text', 6],
    39: ['text', 2],
    41: ['text', 8],
    42: ['text', 15],
    44: ['text', 'L1'],
    49: ['bcd', 3],
    52: ['hex', 8],
    53: ['bcd', 16],
    54: ['text', 'L1'],
    62: ['hex', 'L1'],
    63: ['hex', 'L1'],
    70: ['bcd', 3],
    90: ['bcd', 42],
    96: ['hex', 8],
    105: ['hex', 16],
  },
}

/** CUPS host body (cups-host.md section 4); DE48 and DE128 as raw bytes. */
export const CUPS: Table = {
  characters: 'ascii',
  mti: 'ascii',
  bitmap: 'raw',
  rows: {
    2: ['text', 'A2'],
    3: ['text', 6],
    4: ['text', 12],
    7: ['text', 10],
    11: ['text', 6],
    12: ['text', 6],
    13: ['text', 4],
    14: ['text', 4],
    15: ['text', 4],
    18: ['text', 4],
    22: ['text', 3],
    23: ['text', 3],
    25: ['text', 2],
    26: ['text', 2],
    32: ['text', 'A2'],
    33: ['text', 'A2'],
    35: ['text', 'A2'],
    37: ['text', 12],
    38: ['text', 6],
    39: ['text', 2],
    41: ['text', 8],
    42: ['text', 15],
    43: ['text', 40],
    48: ['hex', 'A3'],
    49: ['text', 3],
    52: ['hex', 8],
    53: ['text', 16],
    54: ['text', 'A3'],
    55: ['hex', 'A3'],
    60: ['text', 'A3'],
    70: ['text', 3],
    90: ['text', 42],
    96: ['hex', 8],
    100: ['text', 'A2'],
    121: ['text', 'A3'],
    128: ['hex', 8],
  },
}

/** UnionPay POS body (cups-pos.md section 3). */
export const POS: Table = {
  characters: 'ascii',
  mti: 'bcd',
  bitmap: 'raw',
  rows: {
    2: ['bcdl', 'B1'],
    3: ['bcd', 6],
    4: ['bcd', 12],
    11: ['bcd', 6],
    12: ['bcd', 6],
    13: ['bcd', 4],
    14: ['bcd', 4],
    22: ['bcdl', 3],
    23: ['bcd', 3],
    25: ['bcd', 2],
    26: ['bcd', 2],
    35: ['bcdl', 'B1'],
    37: ['text', 12],
    38: ['text', 6],
    39: ['text', 2],
    41: ['text', 8],
    42: ['text', 15],
    49: ['text', 3],
    52: ['hex', 8],
    53: ['bcd', 16],
    54: ['text', 'B2'],
    55: ['hex', 'B2'],
    60: ['bcdl', 'B2'],
    62: ['hex', 'B2'],
    63: ['text', 'B2'],
    64: ['text', 8],
  },
}

/** The ATM profile over ISO 8583:1987 ASCII (docs/operating/simulators.md). */
export const ATM: Table = {
  characters: 'ascii',
  mti: 'ascii',
  bitmap: 'hextext',
  rows: {
    2: ['text', 'A2'],
    3: ['text', 6],
    4: ['text', 12],
    7: ['text', 10],
    11: ['text', 6],
    12: ['text', 6],
    13: ['text', 4],
    14: ['text', 4],
    18: ['text', 4],
    22: ['text', 3],
    23: ['text', 3],
    25: ['text', 2],
    35: ['text', 'A2'],
    37: ['text', 12],
    38: ['text', 6],
    39: ['text', 2],
    41: ['text', 8],
    42: ['text', 15],
    43: ['text', 40],
    49: ['text', 3],
    52: ['hextext', 8],
    54: ['text', 'A3'],
    55: ['text', 'A3'],
    62: ['text', 'A3'],
    64: ['hextext', 8],
    70: ['text', 3],
  },
}

/** EBCDIC (code page 037) of the characters that tests use. */
const EBCDIC = new Map<string, number>([
  [' ', 0x40],
  ['-', 0x60],
])
for (let i = 0; i < 10; i++) EBCDIC.set(String(i), 0xf0 + i)
for (let i = 0; i < 9; i++) EBCDIC.set('ABCDEFGHI'[i]!, 0xc1 + i)
for (let i = 0; i < 9; i++) EBCDIC.set('JKLMNOPQR'[i]!, 0xd1 + i)
for (let i = 0; i < 8; i++) EBCDIC.set('STUVWXYZ'[i]!, 0xe2 + i)
const FROM_EBCDIC = new Map([...EBCDIC].map(([character, byte]) => [byte, character]))

function hexOfText(table: Table, text: string): string {
  return [...text]
    .map((character) => {
      const byte = table.characters === 'ebcdic' ? EBCDIC.get(character) : character.charCodeAt(0)
      if (byte === undefined) throw new Error(`no EBCDIC for ${character}`)
      return byte.toString(16).padStart(2, '0')
    })
    .join('')
}

function textOfHex(table: Table, hex: string): string {
  return [...Buffer.from(hex, 'hex')]
    .map((byte) =>
      table.characters === 'ebcdic' ? (FROM_EBCDIC.get(byte) ?? '?') : String.fromCharCode(byte),
    )
    .join('')
}

function prefixHex(len: Row[1], count: number): string {
  switch (len) {
    case 'L1':
      return count.toString(16).padStart(2, '0')
    case 'B1':
      return String(count).padStart(2, '0')
    case 'B2':
      return String(count).padStart(4, '0')
    case 'A2':
      return Buffer.from(String(count).padStart(2, '0')).toString('hex')
    case 'A3':
      return Buffer.from(String(count).padStart(3, '0')).toString('hex')
    default:
      return ''
  }
}

function fieldHex(table: Table, row: Row, value: string): string {
  const [form, len] = row
  switch (form) {
    case 'bcd':
      return prefixHex(len, value.length) + (value.length % 2 === 0 ? value : `0${value}`)
    case 'bcdl':
      return prefixHex(len, value.length) + (value.length % 2 === 0 ? value : `${value}0`)
    case 'text':
      return prefixHex(len, value.length) + hexOfText(table, value)
    case 'hex':
      return prefixHex(len, value.length / 2) + value
    case 'hextext':
      return hexOfText(table, value)
  }
}

/** A message body as bytes. Values are text, digits or hex as the row says. */
export function bodyByHand(
  table: Table,
  mti: string,
  fields: Readonly<Record<number, string>>,
): Buffer {
  const numbers = Object.keys(fields)
    .map(Number)
    .sort((a, b) => a - b)
  let bits = ''
  const last = (numbers.at(-1) ?? 0) > 64 ? 128 : 64
  for (let field = 1; field <= last; field++) {
    bits += numbers.includes(field) || (field === 1 && last === 128) ? '1' : '0'
  }
  let bitmap = ''
  for (let at = 0; at < bits.length; at += 4)
    bitmap += parseInt(bits.slice(at, at + 4), 2).toString(16)
  bitmap = bitmap.toUpperCase()
  let hex = table.mti === 'bcd' ? mti : Buffer.from(mti).toString('hex')
  hex += table.bitmap === 'raw' ? bitmap : Buffer.from(bitmap).toString('hex')
  for (const field of numbers) {
    const row = table.rows[field]
    if (row === undefined) throw new Error(`the table has no field ${field}`)
    hex += fieldHex(table, row, fields[field]!)
  }
  return Buffer.from(hex, 'hex')
}

export interface HandRead {
  readonly mti: string
  readonly fields: Readonly<Record<number, string>>
  /** Offset of each field with its prefix, in bytes of the body. */
  readonly offsets: Readonly<Record<number, number>>
}

/** Reads a body; throws when a byte is left over or a field is not in the table. */
export function readByHand(table: Table, body: Uint8Array): HandRead {
  const hex = Buffer.from(body).toString('hex').toUpperCase()
  let at = table.mti === 'bcd' ? 4 : 8
  const mti = table.mti === 'bcd' ? hex.slice(0, 4) : Buffer.from(hex.slice(0, 8), 'hex').toString()
  const takeBitmap = (): string => {
    const digits =
      table.bitmap === 'raw'
        ? hex.slice(at, at + 16)
        : Buffer.from(hex.slice(at, at + 32), 'hex').toString()
    at += table.bitmap === 'raw' ? 16 : 32
    return [...digits].map((digit) => parseInt(digit, 16).toString(2).padStart(4, '0')).join('')
  }
  let bits = takeBitmap()
  if (bits[0] === '1') bits += takeBitmap()
  const fields: Record<number, string> = {}
  const offsets: Record<number, number> = {}
  for (let field = 2; field <= bits.length; field++) {
    if (bits[field - 1] !== '1') continue
    const row = table.rows[field]
    if (row === undefined) throw new Error(`${mti} has field ${field}, which the table has not`)
    offsets[field] = at / 2
    const [form, len] = row
    const prefixDigits = { L1: 2, B1: 2, B2: 4, A2: 4, A3: 6 }
    let count = typeof len === 'number' ? len : 0
    if (typeof len !== 'number') {
      const prefix = hex.slice(at, at + prefixDigits[len])
      at += prefixDigits[len]
      count =
        len === 'L1'
          ? parseInt(prefix, 16)
          : len.startsWith('B')
            ? Number(prefix)
            : Number(Buffer.from(prefix, 'hex').toString())
    }
    const packed = form === 'bcd' || form === 'bcdl'
    const bytes = packed ? Math.ceil(count / 2) : form === 'hextext' ? count * 2 : count
    const value = hex.slice(at, at + bytes * 2)
    at += bytes * 2
    fields[field] =
      form === 'bcd'
        ? value.slice(value.length - count)
        : form === 'bcdl'
          ? value.slice(0, count)
          : form === 'hex'
            ? value
            : textOfHex(table, value)
  }
  if (at !== hex.length) throw new Error(`${mti} has ${(hex.length - at) / 2} bytes left over`)
  return { mti, fields, offsets }
}

/** A token whose keys are made from their labels, so that both ends of a test have the same. */
export function tokenOfLabels(): OutsideToken {
  return {
    cipher: (label: string): BlockCipher => tdesCipher(keyOfLabel(label)),
    close: () => undefined,
  }
}

/** Sixteen bytes that depend on the label only; test keys, never outside tests. */
export function keyOfLabel(label: string): Uint8Array {
  const key = new Uint8Array(16)
  for (let i = 0; i < 64; i++)
    key[i % 16] = (key[i % 16]! * 31 + label.charCodeAt(i % label.length) + i) & 255
  return key
}

/** A socket that collects what comes and hands it over frame by frame, cut by `lengthOf`. */
export class HandSocket {
  readonly socket: Socket
  #buffer = Buffer.alloc(0)
  #wake: (() => void) | null = null
  closed = false
  readonly #lengthOf: (head: Buffer) => number

  /** @param lengthOf bytes of the whole frame at the start of `head`, or 0 when unknown yet */
  constructor(socket: Socket, lengthOf: (head: Buffer) => number) {
    this.socket = socket
    this.#lengthOf = lengthOf
    socket.on('data', (chunk) => {
      this.#buffer = Buffer.concat([
        this.#buffer,
        typeof chunk === 'string' ? Buffer.from(chunk) : chunk,
      ])
      this.#wake?.()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.closed = true
      this.#wake?.()
    })
  }

  /** Connects to a port of this machine. */
  static async dial(port: number, lengthOf: (head: Buffer) => number): Promise<HandSocket> {
    const socket = connect(port, '127.0.0.1')
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve())
      socket.once('error', reject)
    })
    return new HandSocket(socket, lengthOf)
  }

  send(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  /** The next whole frame; rejects when the connection ends first. */
  async next(): Promise<Buffer> {
    for (;;) {
      const size = this.#buffer.length === 0 ? 0 : this.#lengthOf(this.#buffer)
      if (size > 0 && this.#buffer.length >= size) {
        const frame = this.#buffer.subarray(0, size)
        this.#buffer = this.#buffer.subarray(size)
        return frame
      }
      if (this.closed) throw new Error('connection ended')
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Whether bytes wait to be read. */
  get waiting(): boolean {
    return this.#buffer.length > 0
  }

  end(): void {
    this.socket.destroy()
  }
}

/** A listener for one test; `accepted` gives connections in order. */
export async function listenByHand(lengthOf: (head: Buffer) => number): Promise<{
  port: number
  accepted(): Promise<HandSocket>
  close(): void
}> {
  const waiting: HandSocket[] = []
  const takers: ((socket: HandSocket) => void)[] = []
  const server: Server = createServer((socket) => {
    const hand = new HandSocket(socket, lengthOf)
    const taker = takers.shift()
    if (taker === undefined) waiting.push(hand)
    else taker(hand)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    accepted: () => {
      const ready = waiting.shift()
      if (ready !== undefined) return Promise.resolve(ready)
      return new Promise((resolve) => takers.push(resolve))
    },
    close: () => server.close(),
  }
}
