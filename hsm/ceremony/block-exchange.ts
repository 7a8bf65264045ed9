// Key blocks that come from a peer and go to one: all checks of the header, each with its reason.
// Called by console/keys/. A working key is clear in this process between one block and the next
// (no PKCS#11 token opens an X9.143 block) and is wiped; see docs/adr/0005-token.md.
// Sources: TR-31:2018 / X9.143 (header, optional blocks), PCI PIN requirements 18-3 and 19.

import { wipe } from '../algorithms/bytes.ts'
import { AlgorithmError } from '../algorithms/errors.ts'
import {
  buildKeyBlockHeader,
  demandKeySuitsHeader,
  parseKeyBlockHeader,
  unwrapKeyBlock,
  wrapKeyBlock,
} from '../algorithms/key-block.ts'
import type { KeyBlockHeader, UnwrappedKey } from '../algorithms/key-block.ts'
import { OfficerRefusal } from '../officers/refusal.ts'
import type { TokenSession } from '../pkcs11/session.ts'
import { blockKeysOf } from './block-keys.ts'
import type { ProtectionKey } from './block-keys.ts'
import { checkValueOf } from './staged-key.ts'
import { KINDS, USAGES } from './key-plan.ts'
import type { KeyKind, OfficerUsage } from './key-plan.ts'

/** Longest key block that is read; the standard's length field has four digits. */
export const BLOCK_CHARACTERS_MAX = 9_999

const KINDS_BY_LENGTH: Readonly<Record<string, Readonly<Record<number, KeyKind>>>> = {
  T: { 16: 'tdes2', 24: 'tdes3' },
  A: { 16: 'aes128', 24: 'aes192', 32: 'aes256' },
}

/** A key that came out of a block. The caller wipes `clear`. */
export interface OpenedKey {
  readonly header: KeyBlockHeader
  readonly kind: KeyKind
  readonly kcv: string // upper-case hex
  readonly clear: Uint8Array
}

/**
 * Opens a block of a peer for one purpose: version, length, syntax, authenticator, key against
 * header, usage, mode, key check value block.
 *
 * @throws OfficerRefusal with the reason
 */
export function openBlock(
  session: TokenSession,
  protection: ProtectionKey,
  text: string,
  usage: OfficerUsage,
): OpenedKey {
  const header = parsed(text)
  demandPurpose(header, usage)
  const unwrapped = authentic(session, protection, text, header)
  try {
    const kind = KINDS_BY_LENGTH[header.algorithm]?.[unwrapped.key.length]
    if (kind === undefined || !USAGES[usage].kinds.includes(kind)) {
      const kinds = USAGES[usage].kinds.map((one) => KINDS[one].words).join(' or ')
      throw new OfficerRefusal(`the key in the block has the wrong length: ${usage} is ${kinds}`)
    }
    const kcv = checkValueOfClear(session, unwrapped.key, kind)
    demandStatedCheckValue(header, kcv)
    return { header, kind, kcv, clear: unwrapped.key }
  } catch (error) {
    wipe(unwrapped.key)
    throw error
  }
}

/** Check value of a clear key, by way of a session object that is destroyed at once. */
export function checkValueOfClear(
  session: TokenSession,
  clear: Uint8Array,
  kind: KeyKind,
): string {
  const object = session.create({ type: KINDS[kind].type, powers: ['encrypt'] }, clear)
  try {
    return checkValueOf(session, object, kind)
  } finally {
    session.destroy(object)
  }
}

/** How a block that we write is marked. */
export interface BlockMarks {
  readonly label?: string
  readonly exportability: 'E' | 'N'
  readonly mode?: string
}

/** Wraps a key for a peer or for our own table; version D under AES, B under 3DES. */
export function sealBlock(
  session: TokenSession,
  protection: ProtectionKey,
  usage: OfficerUsage,
  kind: KeyKind,
  clear: Uint8Array,
  marks: BlockMarks,
): string {
  const version = protection.wide ? 'D' : 'B'
  demandStrength(protection, kind)
  const row = USAGES[usage]
  const header = buildKeyBlockHeader({
    version,
    usage: row.header[0] ?? '',
    algorithm: KINDS[kind].wide ? 'A' : 'T',
    mode: marks.mode ?? row.modes.slice(0, 1),
    exportability: marks.exportability,
    optionalBlocks: marks.label === undefined ? [] : [{ id: 'LB', data: marks.label }],
  })
  return wrapKeyBlock(blockKeysOf(session, protection, version), header, clear)
}

/** Refuses to hand out a key whose header does not allow it (X9.143 table 8). */
export function demandExportable(header: KeyBlockHeader, name: string): void {
  if (header.exportability !== 'N') return
  throw new OfficerRefusal(
    `key '${name}' is not exportable: its header says N`,
    'only a key made or imported with --exportable may leave',
  )
}

function parsed(text: string): KeyBlockHeader {
  try {
    return parseKeyBlockHeader(text)
  } catch (error) {
    throw reasonOf(error)
  }
}

function demandPurpose(header: KeyBlockHeader, usage: OfficerUsage): void {
  const row = USAGES[usage]
  if (row.header.length === 0) {
    throw new OfficerRefusal(`a key for '${usage}' never comes in a key block`)
  }
  if (!row.header.includes(header.usage)) {
    const wanted = row.header.join(' or ')
    throw new OfficerRefusal(
      `the block's key usage is ${header.usage}; a key for '${usage}' has ${wanted}`,
    )
  }
  if (!row.modes.includes(header.mode)) {
    throw new OfficerRefusal(
      `the block's mode of use is ${header.mode}; a key for '${usage}' has one of ` +
        row.modes.split('').join(' '),
    )
  }
}

function authentic(
  session: TokenSession,
  protection: ProtectionKey,
  text: string,
  header: KeyBlockHeader,
): UnwrappedKey {
  const keys = blockKeysOf(session, protection, header.version)
  let unwrapped: UnwrappedKey | null = null
  try {
    unwrapped = unwrapKeyBlock(keys, text)
    demandKeySuitsHeader(unwrapped, protection.wide ? 'aes' : 'tdes', protection.bytes)
    return unwrapped
  } catch (error) {
    wipe(unwrapped?.key)
    throw reasonOf(error)
  }
}

/** Key check value block KC: method 00 or 01, then the value in hex (X9.143 table 9). */
function demandStatedCheckValue(header: KeyBlockHeader, kcv: string): void {
  const stated = header.optionalBlocks.find(({ id }) => id === 'KC')?.data
  if (stated === undefined) return
  const legacy = header.algorithm === 'T'
  const value = stated.slice(2).toUpperCase()
  if (stated.slice(0, 2) !== (legacy ? '00' : '01')) return // a method that we do not compute
  const length = Math.min(value.length, kcv.length)
  if (length < 4 || value.slice(0, length) !== kcv.slice(0, length)) {
    throw new OfficerRefusal('the check value in the block is not that of its key')
  }
}

function demandStrength(protection: ProtectionKey, kind: KeyKind): void {
  const { wide, bytes } = KINDS[kind]
  const weaker = wide ? !protection.wide || protection.bytes < bytes : protection.bytes < bytes
  if (!weaker || (protection.wide && !wide)) return
  throw new OfficerRefusal(
    `'${protection.name}' is weaker than the key it would protect`,
    'take a protection key at least as strong (PCI PIN requirement 10)',
  )
}

const REASONS: Readonly<Record<string, string>> = {
  mac: 'the authenticator of the key block is wrong: changed on its way, or under another key',
  length: 'a length in the key block is wrong',
  format: 'the key block is not written as X9.143 says',
  control: 'the key block has an unknown version',
  policy: 'the key block breaks a rule',
}

/** The kind of an algorithm's refusal, in words, with what it was about. */
function reasonOf(error: unknown): unknown {
  if (!(error instanceof AlgorithmError)) return error
  const subject = error.message.slice(error.kind.length + 2)
  return new OfficerRefusal(`${REASONS[error.kind] ?? 'the key block is refused'} (${subject})`)
}
