/**
 * Fuzz targets of fields that are divided further, one for each shape that a dialect names: any
 * content comes apart or stays whole, nothing is lost where parts are laid side by side, the masked
 * form has the same parts, and what is secret has none.
 *
 * Run by tests/fuzz/. An input is one byte that chooses the field, then its value.
 */
import type { Dialect } from '../../switch/codec/dialect.ts'
import { Fault } from '../../switch/codec/fault.ts'
import { View } from '../../switch/codec/view.ts'
import { walk } from '../../switch/codec/walk.ts'
import { ALL_DIALECTS } from '../../tests/fuzz/dialects.ts'
import type { Random } from '../../tests/fuzz/random.ts'
import { replaced } from '../../tests/fuzz/mutate.ts'
import { anyField, slowField, slowLength } from '../../tests/fuzz/slow-builder.ts'
import { toEbcdic } from '../../tests/fuzz/slow-decoder.ts'
import type { SlowDialect, SlowRow } from '../../tests/fuzz/slow-decoder.ts'
import { expect, expectSame } from '../../tests/fuzz/target.ts'
import type { Target } from '../../tests/fuzz/target.ts'
import { parsedField } from './parsed.ts'
import { shownText } from './record.ts'

interface Place {
  readonly dialect: Dialect
  readonly slow: SlowDialect
  readonly row: SlowRow
}

const places: Place[] = []
for (const { dialect, slow } of ALL_DIALECTS) {
  for (const row of slow.rows.values()) if (row.shape !== '') places.push({ dialect, slow, row })
}

/** A message with that one field; its value is `value`, cut or filled where the field is fixed. */
function messageWith({ slow, row }: Place, value: Uint8Array): Buffer {
  const packed = row.coding.startsWith('bcd')
  const perUnit = row.coding.startsWith('hex') ? 2 : 1
  const units = packed ? value.length * 2 : Math.floor(value.length / perUnit)
  const count = row.digits === 0 ? row.max : Math.min(units, row.max)
  const size = packed ? Math.ceil(count / 2) : count * perUnit
  const filled = Buffer.concat([value, Buffer.alloc(size, packed ? 0 : 0x30)]).subarray(0, size)
  const length = row.digits === 0 ? Buffer.alloc(0) : slowLength(row, count)
  const bitmap = Buffer.alloc(Math.ceil(row.number / 64) * 8)
  for (let i = 0; i < bitmap.length / 8 - 1; i++) bitmap[i * 8] = 0x80
  bitmap[(row.number - 1) >> 3]! |= 0x80 >> ((row.number - 1) & 7)
  const hex = bitmap.toString('hex').toUpperCase()
  const bits = slow.bitmap === 'binary' ? bitmap
    : slow.bitmap === 'hex-ebcdic' ? toEbcdic(hex) : Buffer.from(hex, 'latin1')
  const mti = slow.mti === 'bcd' ? Buffer.from('0200', 'hex')
    : slow.mti === 'ebcdic' ? toEbcdic('0200') : Buffer.from('0200', 'latin1')
  return Buffer.concat([mti, bits, length, filled])
}

const view = new View()

function run(own: readonly Place[], input: Uint8Array): string {
  const place = own[(input[0] ?? 0) % own.length]
  if (place === undefined) return ''
  const { dialect, row } = place
  const message = messageWith(place, input.subarray(1))
  if (!walk(dialect, message, 0, message.length, view, new Fault())) return 'refused'
  const open = parsedField(view, row.number, true)
  const masked = parsedField(view, row.number, false)
  const shown = shownText(view, row.number)
  const text = view.text(row.number)
  expect(shown.length === text.length, 'a masked text keeps its length')
  if (dialect.secrecyOf(row.number) === 'drop') {
    expect(/^\**$/.test(shown), 'of a secret field nothing is shown')
    expect(masked === null, 'a secret field has no parts')
  }
  if (masked !== null) {
    expectSame(pathsOf(masked), pathsOf(open), 'parts of the masked form')
  }
  sideBySide(row.shape, text, open)
  return `${row.number} ${open === null ? 'whole' : Math.min(5, pathsOf(open).split('\n').length)}`
}

/** Names of all parts, in order. */
function pathsOf(value: unknown, path = ''): string {
  if (typeof value !== 'object' || value === null) return path
  return Object.entries(value)
    .map(([name, inside]) => pathsOf(inside, `${path}.${name}`)).join('\n')
}

/** Where parts are text laid side by side, they are the whole text again. */
function sideBySide(shape: string, text: string, open: unknown): void {
  if (typeof open !== 'object' || open === null || text.startsWith('hex:')) return
  const parts = Object.entries(open)
  if (!parts.every((part): part is [string, string] => typeof part[1] === 'string')) return
  if (shape === 'positions') {
    expectSame(parts.map(([, value]) => value).join(''), text, 'positions side by side')
  }
  if (shape === 'cups-usages') {
    const chain = parts.map(([name, value]) => name + String(value.length).padStart(3, '0') + value)
    expectSame(chain.join(''), text, 'usages side by side')
  }
}

function seedsOf(own: readonly Place[], random: Random): Buffer[] {
  return own.slice(0, 256).flatMap(({ slow, row }, i) => Array.from({ length: 12 }, (_, n) => {
    const field = n < 4 ? anyField(slow, row, random)
      : slowField(slow, row, random.between(Math.min(7, row.max), Math.min(row.max, 90)), random)
    const packed = row.lengthCoding === 'binary' || row.lengthCoding === 'bcd'
    const prefix = packed ? Math.ceil(row.digits / 2) : row.digits
    return Buffer.concat([Buffer.from([i]), field.subarray(prefix)])
  }))
}

/** Heads of containers, whole, with lengths that fit or miss by one. */
function mutate(own: readonly Place[], input: Uint8Array, random: Random): Uint8Array | null {
  const place = own[(input[0] ?? 0) % own.length]
  if (place === undefined || input.length < 2) return null
  const at = random.between(1, input.length)
  const left = input.length - at + random.pick([0, 0, -1, 1, -5, -3])
  const size = Math.max(0, left)
  const three = String(size).padStart(3, '0').slice(-3)
  const text = random.pick([
    `${random.pick(['PB', 'AS', 'SM', 'A1', 'ON'])}${three}`, three, 'AS', 'T', `${random.text(2, '0123456789')}${three.slice(1)}`,
  ])
  const head = random.oneIn(2)
    ? (place.slow.ebcdic ? toEbcdic(text) : Buffer.from(text, 'latin1'))
    : Buffer.from(random.pick([
      [1, size >> 8, size & 255], [0x9f, 0x26, size & 255], [0x82, 2, 0, 0], [0x70, size & 255],
      [0x80, 0, 0, 0, 0, 0, 0, 0], [0xff, 0xff, 0xff], [0x9f, 0x26, 0x81, size & 255],
    ]))
  return replaced(input, at, random.oneIn(2) ? at : Math.min(input.length, at + head.length), head)
}

const shapes = [...new Set(places.map(({ row }) => row.shape))].sort()

export const targets: readonly Target[] = shapes.map((shape) => {
  const own = places.filter(({ row }) => row.shape === shape)
  return {
    name: `container-${shape}`,
    covers: ['console/message/parsed.ts', 'console/message/mask-chip.ts', 'emv/tlv.ts', 'switch/codec/mask.ts'],
    bytesMax: 700,
    seeds: (random) => seedsOf(own, random),
    mutate: (input, random) => mutate(own, input, random),
    run: (input) => run(own, input),
  }
})
