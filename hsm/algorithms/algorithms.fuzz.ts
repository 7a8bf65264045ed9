/**
 * Fuzz targets of algorithms that read what others wrote: key blocks (header, optional blocks,
 * unwrapping) and the MAC text of the CUPS link. Only AlgorithmError comes out, no changed key
 * block unwraps, and slow readers agree.
 *
 * Run by tests/fuzz/. An input is the text of a block, or of fields one per line, as Latin-1.
 */
import type { Random } from '../../tests/fuzz/random.ts'
import { replaced } from '../../tests/fuzz/mutate.ts'
import { expect, expectSame } from '../../tests/fuzz/target.ts'
import type { Target } from '../../tests/fuzz/target.ts'
import { cupsMab, cupsMabField } from './cups-mac.ts'
import { AlgorithmError } from './errors.ts'
import {
  buildKeyBlockHeader, keyBlockKeys, parseKeyBlockHeader, unwrapKeyBlock, wrapKeyBlock,
} from './key-block.ts'
import type { KeyBlockKeys, KeyBlockVersion } from './key-block.ts'
import { softwareCipher } from './software-ciphers.ts'

const latin1 = (input: Uint8Array): string => Buffer.from(input).toString('latin1')

/** The error's text, for what this room may throw; anything else goes on. */
function kindOf(error: unknown): string {
  if (error instanceof AlgorithmError) return error.message
  throw error
}

/** Made-up protection keys, no bank's. */
const PROTECTION: Readonly<Record<KeyBlockVersion, string>> = {
  A: '89E88CF7931444F334BD7547FC3F380C', B: '89E88CF7931444F334BD7547FC3F380C',
  C: '89E88CF7931444F334BD7547FC3F380C', D: '88E1AB2A2E3DD38C1FA039A536500CC8',
  E: '88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6',
}
const VERSIONS = ['A', 'B', 'C', 'D', 'E'] as const
const keys = new Map<string, KeyBlockKeys>()
const wrapped = new Map<string, string>()

for (const version of VERSIONS) {
  const kbpk = Buffer.from(PROTECTION[version], 'hex')
  const own = keyBlockKeys(version, kbpk, softwareCipher)
  keys.set(version, own)
  const plain = { version, usage: 'P0', algorithm: 'T', mode: 'E', exportability: 'E' }
  const blocks = [[], [{ id: 'KS', data: '00604B120F9292800000' }],
    [{ id: 'TS', data: '20261122101530Z0' }, { id: 'LB', data: 'pin key' }]]
  for (const optionalBlocks of blocks) {
    const header = buildKeyBlockHeader({ ...plain, optionalBlocks })
    const key = Buffer.from('3F419E1CB7079442AA37474C2EFBF8B8', 'hex')
    wrapped.set(wrapKeyBlock(own, header, key, new Uint8Array(14)), version)
  }
}

/** The header by one regular expression, the optional blocks by slicing; null when refused. */
function slowHeader(text: string): { end: number; blocks: string } | null {
  const fixed =
    /^[A-E][0-9]{4}[0-9A-Z]{2}[0-9A-Z][0-9A-Z][0-9A-Za-z]{2}[ENS]([0-9]{2})[0-9A-Za-z]{2}/
  const found = fixed.exec(text)
  if (found === null || /[^ -~]/.test(text)) return null
  let at = 16
  const blocks: string[] = []
  for (let left = Number(found[1]); left > 0; left--) {
    const short = /^([0-9A-Za-z]{2})(?!00)([0-9A-Fa-f]{2})/.exec(text.slice(at))
    const long = /^([0-9A-Za-z]{2})00([0-9A-Fa-f]{2})/.exec(text.slice(at))
    const digits = long === null ? 0 : parseInt(long[2] ?? '', 16)
    const number = short?.[2] ?? text.slice(at + 6, at + 6 + digits)
    if (short === null && (digits < 1 || digits > 8 || number.length < digits)) return null
    if (!/^[0-9A-Fa-f]+$/.test(number)) return null
    const start = short === null ? 6 + digits : 4
    const size = parseInt(number, 16)
    if (size < start || at + size > text.length) return null
    blocks.push(text.slice(at, at + 2) + text.slice(at + start, at + size))
    at += size
  }
  return { end: at, blocks: blocks.join('\n') }
}

function runHeader(input: Uint8Array): string {
  const text = latin1(input)
  const slow = slowHeader(text)
  try {
    const header = parseKeyBlockHeader(text)
    expectSame(header.text, text.slice(0, slow?.end ?? 0), 'what the header covers')
    const blocks = header.optionalBlocks.map((one) => one.id + one.data).join('\n')
    expectSame(blocks, slow?.blocks ?? 'refused', 'optional blocks')
    return `taken ${header.version} ${Math.min(4, header.optionalBlocks.length)}`
  } catch (error) {
    const kind = kindOf(error)
    expect(slow === null, `a good header is refused: ${kind}`)
    return kind
  }
}

function runUnwrap(input: Uint8Array): string {
  const text = latin1(input)
  const own = keys.get(text.charAt(0)) ?? keys.get('B')
  expect(own !== undefined, 'there are keys')
  try {
    const { header, key } = unwrapKeyBlock(own, text)
    // The authenticator covers all but the case of its own hexadecimal digits and those of the key.
    const same = header.text + text.slice(header.text.length).toUpperCase()
    expectSame(wrapped.get(same) ?? 'none', header.version, 'a changed key block unwraps')
    return `taken ${header.version} ${key.length}`
  } catch (error) {
    return `${keys.has(text.charAt(0)) ? text.charAt(0) : 'other'} ${kindOf(error)}`
  }
}

/** Lengths, counts and optional blocks changed where they stand. */
function mutateBlock(input: Uint8Array, random: Random): Uint8Array | null {
  if (input.length < 16) return null
  const put = (at: number, text: string): Buffer =>
    replaced(input, at, at + text.length, Buffer.from(text, 'latin1'))
  switch (random.below(6)) {
    case 0: {
      const size = random.pick([input.length, input.length + 8, 0, 9999])
      return put(1, String(size).padStart(4, '0'))
    }
    case 1: return put(12, String(random.below(6)).padStart(2, '0'))
    case 2: return put(0, random.pick([...VERSIONS, 'F', 'a']))
    case 3: {
      const data = random.text(random.below(20), 'abcXYZ019 ~')
      const size = data.length + 4 + random.pick([0, 0, 0, 1, -1, 100])
      const block = `KP${size.toString(16).toUpperCase().padStart(2, '0')}${data}`
      return replaced(input, 16, 16, Buffer.from(block, 'latin1'))
    }
    case 4: {
      const data = random.text(random.below(20), 'abcXYZ019 ~')
      const digits = random.between(0, 9)
      const size = (data.length + 6 + digits).toString(16).padStart(digits, '0')
      const block = `KC00${digits.toString(16).padStart(2, '0')}${size}${data}`
      return replaced(input, 16, 16, Buffer.from(block, 'latin1'))
    }
    default: {
      const at = random.between(5, input.length - 1)
      return put(at, random.text(1, '0123456789ABCDEFabcdefENSX \x7f'))
    }
  }
}

/** The rule for one field, character by character. */
function slowMabField(text: string): string {
  let out = ''
  for (const character of text) {
    const code = character.charCodeAt(0)
    const raised = code >= 0x61 && code <= 0x7a ? String.fromCharCode(code - 32) : character
    if (!'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.'.includes(raised)) continue
    if (raised === ' ' && (out === '' || out.endsWith(' '))) continue
    out += raised
  }
  return out.endsWith(' ') ? out.slice(0, -1) : out
}

function runMab(input: Uint8Array): string {
  const fields = latin1(input).split('\n')
  const wanted = fields.map(slowMabField)
  for (const [i, field] of fields.entries()) {
    const got = cupsMabField(field)
    expectSame(got, wanted[i] ?? '', 'a field of the MAB')
    expectSame(cupsMabField(got), got, 'a field that is already in its form')
  }
  const mab = cupsMab(fields)
  expectSame(mab, wanted.filter((field) => field !== '').join(' '), 'MAB')
  return `${Math.min(5, fields.length)} ${Math.min(3, mab.length)} ${mab.length === input.length}`
}

const HEADERS = [
  ...wrapped.keys(), 'B0000P0TE00E0000', 'D0000K1AN00N0200KS1800604B120F9292800000PB08TEST',
]
const MABS = [
  '0200\n196230580000000000003\n000000\n000000010000\n1122101530\n000001\n0803050001\n00010000',
  '  a b,  c.d  \n\nÄß\n ', 'C00000100',
]

export const targets: readonly Target[] = [
  {
    name: 'key-block-header', covers: ['hsm/algorithms/key-block.ts'], bytesMax: 600,
    seeds: () => HEADERS.map((text) => Buffer.from(text, 'latin1')), mutate: mutateBlock,
    run: runHeader,
  },
  {
    name: 'key-block-unwrap', covers: ['hsm/algorithms/key-block.ts'], bytesMax: 600,
    seeds: () => HEADERS.map((text) => Buffer.from(text, 'latin1')), mutate: mutateBlock,
    run: runUnwrap,
  },
  {
    name: 'cups-mab', covers: ['hsm/algorithms/cups-mac.ts'], bytesMax: 400,
    seeds: () => MABS.map((text) => Buffer.from(text, 'latin1')), run: runMab,
  },
]
