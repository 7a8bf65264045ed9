/**
 * Fuzz targets of the EMV room: BER-TLV, data object lists, issuer scripts and issuer application
 * data. Only EmvError comes out, what is read adds up to the bytes that were given, and a slow
 * reader agrees.
 *
 * Run by tests/fuzz/. An input is the bytes of DE55, of a list, of a value.
 */
import { Random } from '../tests/fuzz/random.ts'
import { replaced } from '../tests/fuzz/mutate.ts'
import { expect, expectSame } from '../tests/fuzz/target.ts'
import type { Target } from '../tests/fuzz/target.ts'
import { dataObjectListValues, parseDataObjectList } from './data-object-list.ts'
import { EmvError } from './faults.ts'
import { parseIssuerApplicationData, pbocBalance } from './issuer-application-data.ts'
import { buildIssuerScript, parseIssuerScript, parseScriptResults } from './issuer-scripts.ts'
import { encodeTlvs, findTlv, isConstructed, parseTlv, tagText } from './tlv.ts'

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').toUpperCase()

/** Objects as `tag:value`, read from hexadecimal text; null when it is no list of objects. */
function slowObjects(hex: string): string[] | null {
  const found: string[] = []
  let rest = hex
  const take = (bytes: number): string | null => {
    if (rest.length < bytes * 2) return null
    const part = rest.slice(0, bytes * 2)
    rest = rest.slice(bytes * 2)
    return part
  }
  while (rest !== '') {
    if (rest.startsWith('00')) {
      rest = rest.slice(2)
      continue
    }
    let tag = take(1) ?? ''
    if (parseInt(tag, 16) % 32 === 31) {
      let last: string | null
      do {
        last = take(1)
        if (last === null || tag.length >= 8) return null
        tag += last
      } while (parseInt(last, 16) >= 128)
    }
    const first = parseInt(take(1) ?? 'x', 16)
    if (Number.isNaN(first)) return null
    let length = first
    if (first > 127) {
      const more = first - 128
      const text = more >= 1 && more <= 3 ? take(more) : null
      if (text === null) return null
      length = parseInt(text, 16)
    }
    const value = take(length)
    if (value === null) return null
    found.push(`${tag}:${value}`)
  }
  return found
}

function runTlv(input: Uint8Array): string {
  const items = parseTlv(input)
  const slow = slowObjects(hexOf(input))
  expectSame(items === null ? 'refused' : 'taken', slow === null ? 'refused' : 'taken', 'TLV')
  if (items === null || slow === null) {
    expect(findTlv(input, 0x9f26) === null, 'nothing is found in what does not parse')
    return 'refused'
  }
  const texts = items.map((item) => `${tagText(item.tag)}:${hexOf(item.value)}`)
  expectSame(texts.join(' '), slow.join(' '), 'objects')
  let at = 0
  for (const item of items) {
    expect(item.start >= at && item.valueStart > item.start && item.end >= item.valueStart,
      'objects lie one after the other')
    expect(input.subarray(at, item.start).every((byte) => byte === 0), 'between objects are zeros')
    at = item.end
  }
  const again = parseTlv(encodeTlvs(items))
  const texts2 = again?.map((item) => `${tagText(item.tag)}:${hexOf(item.value)}`).join(' ')
  expectSame(texts2 ?? 'refused', texts.join(' '), 'objects encoded and read again')
  const inside = items.filter((item) => isConstructed(item.tag))
  const nested = inside.filter((item) => parseTlv(item.value) !== null).length
  const few = (count: number): number => Math.min(3, count)
  return [few(items.length), few(inside.length), few(nested), texts[0]?.indexOf(':') ?? 0].join()
}

/** The error's kind, for what this room may throw; anything else goes on. */
function kindOf(error: unknown): string {
  if (error instanceof EmvError) return error.message
  throw error
}

/** Requests of a list, a tag of one to three bytes and a length each; null when it is none. */
function slowList(hex: string): string[] | null {
  const found: string[] = []
  let rest = hex
  while (rest !== '') {
    const first = parseInt(rest.slice(0, 2), 16)
    const second = parseInt(rest.slice(2, 4), 16)
    const third = parseInt(rest.slice(4, 6), 16)
    const tag = first % 32 !== 31 ? 1 : second < 128 ? 2 : third < 128 ? 3 : 0
    const size = (tag + 1) * 2
    if (tag === 0 || rest.length < size) return null
    found.push(rest.slice(0, size))
    rest = rest.slice(size)
  }
  return hex.length > 504 ? null : found
}

function runList(input: Uint8Array): string {
  const slow = slowList(hexOf(input))
  let requests
  try {
    requests = parseDataObjectList(input)
  } catch (error) {
    expect(slow === null, 'a good list is read')
    return kindOf(error)
  }
  expectSame(String(requests.length), String(slow?.length ?? 'none'), 'requests of a list')
  const again = requests.map(({ tag, bytes }) => {
    expect(bytes >= 0 && bytes <= 255, 'a wanted length is one byte')
    return `${tagText(tag)}${bytes.toString(16).toUpperCase().padStart(2, '0')}`
  }).join('')
  // A leading zero byte of a tag cannot be told from its number; no tag has one in EMV.
  if (!hexOf(input).startsWith('00')) expectSame(again, hexOf(input), 'a list written again')
  const total = requests.reduce((sum, { bytes }) => sum + bytes, 0)
  const values = dataObjectListValues(requests, (tag) => {
    return tag % 3 === 0 ? undefined : input.subarray(0, tag % 40)
  })
  expectSame(String(values.length), String(total), 'bytes that a list asks for')
  return `${Math.min(6, requests.length)}`
}

function runScript(input: Uint8Array): string {
  let script
  try {
    script = parseIssuerScript(0x72, input)
  } catch (error) {
    return kindOf(error)
  }
  expect(script.commands.length > 0, 'a script has a command')
  try {
    const built = buildIssuerScript(script)
    const body = parseTlv(built)?.[0]
    expect(body !== undefined, 'a script that was built is an object')
    const again = parseIssuerScript(0x72, body.value)
    expectSame(again.commands.map(hexOf).join(), script.commands.map(hexOf).join(), 'commands')
  } catch (error) {
    return `built ${kindOf(error)}`
  }
  return `taken ${Math.min(3, script.commands.length)} ${script.identifier !== undefined}`
}

function runApplicationData(input: Uint8Array): string {
  const value = input.subarray(1)
  const layout = (['visa', 'unionpay', 'mchip'] as const)[(input[0] ?? 0) % 3] ?? 'visa'
  try {
    const parts = parseIssuerApplicationData(layout, value)
    const balance = pbocBalance(parts.discretionary)
    expect(balance === undefined || balance.balanceMinor < 10n ** 10n, 'ten digits of balance')
    return `${layout} taken ${parts.discretionary.length > 0} ${balance !== undefined}`
  } catch (error) {
    return `${layout} ${kindOf(error)}`
  }
}

function runResults(input: Uint8Array): string {
  try {
    const results = parseScriptResults(input)
    expectSame(String(results.length * 5), String(input.length), 'bytes of results')
    return results.map((one) => one.outcome).slice(0, 2).join()
  } catch (error) {
    return kindOf(error)
  }
}

const CHIP = [
  '9F2608D31127A5C2B3F4E59F2701809F101307010103A0A802010A010000000000A1B2C3D49F3704AABBCCDD9F36020042' +
    '950500800080009A032611229C01009F02060000000123005F2A02015682027C009F1A0201569F03060000000000009F3303E0F9C8',
  '71129F18040000000186080484000004AABBCCDD720686048418000000', '9F26080102030405060708000000', '5A0862', '',
  '7081079F2601AA820100', 'DF810102AABB', 'E00682020100950100',
]
const LISTS = [
  '9F02069F03069F1A0295055F2A029A039C019F37049F35019F4502', '8A0295059F37049F4C08', '9F3804', '',
]
const SCRIPTS = [
  '9F180411223344860E04DA9F790A0000000100001122334486050418000000', '8604841E0000', '9F1804',
]

const bytesOf = (texts: readonly string[]): Buffer[] =>
  texts.map((text) => Buffer.from(text, 'hex'))

/** Turns, doubles or drops whole objects, and puts one inside another. */
function mutateTlv(input: Uint8Array, random: Random, other: Uint8Array): Uint8Array | null {
  const items = parseTlv(input)
  const others = parseTlv(other)
  if (items === null || items.length === 0) return null
  const item = random.pick(items)
  const foreign = others === null || others.length === 0 ? item : random.pick(others)
  const object = (others === null ? input : other).subarray(foreign.start, foreign.end)
  switch (random.below(5)) {
    case 0: return replaced(input, item.start, item.end, Buffer.alloc(0))
    case 1: return replaced(input, item.end, item.end, object)
    case 2: return replaced(input, item.valueStart, item.end, object)
    case 3: { // the length one off, the value as it was
      const out = Buffer.from(input)
      out[item.valueStart - 1] = (out[item.valueStart - 1]! + random.pick([1, 255])) & 255
      return out
    }
    default: { // the length in a longer form
      const size = item.end - item.valueStart
      const low = size & 255
      const length = random.pick([
        [0x81, low], [0x82, 0, low], [0x83, 0, 0, low], [0x84, 0, 0, 0, low],
      ])
      return replaced(input, item.valueStart - 1, item.valueStart, Buffer.from(length))
    }
  }
}

export const targets: readonly Target[] = [
  {
    name: 'emv-tlv', covers: ['emv/tlv.ts'], bytesMax: 700,
    seeds: () => bytesOf(CHIP), mutate: mutateTlv, run: runTlv,
  },
  {
    name: 'emv-data-object-list', covers: ['emv/data-object-list.ts', 'emv/tags.ts'], bytesMax: 300,
    seeds: () => bytesOf(LISTS), run: runList,
  },
  {
    name: 'emv-issuer-script', covers: ['emv/issuer-scripts.ts', 'emv/tlv.ts'], bytesMax: 300,
    seeds: () => bytesOf(SCRIPTS), mutate: mutateTlv, run: runScript,
  },
  {
    name: 'emv-issuer-application-data', covers: ['emv/issuer-application-data.ts'], bytesMax: 40,
    seeds: () => bytesOf([
      '0007010103A0A802010A010000000000A1B2C3D4', '0106010A03A0A000',
      '020110A040002200000000000000000000FF',
    ]),
    run: runApplicationData,
  },
  {
    name: 'emv-script-results', covers: ['emv/issuer-scripts.ts'], bytesMax: 60,
    seeds: () => bytesOf(['2011223344', '201122334412AABBCCDD', '']), run: runResults,
  },
]
