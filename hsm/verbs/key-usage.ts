// How a key's purpose stands in an X9.143 key block header, and which header allows which act.
// Called by both key sources. One key, one purpose (PCI PIN requirement 19).
// Source: ANSI X9.143 / TR-31:2018 tables 6 and 7 (usage, mode of use).

import { buildKeyBlockHeader } from '../algorithms/key-block.ts'
import type { KeyBlockHeader } from '../algorithms/key-block.ts'
import type { KeyUsage } from '../port.ts'
import { refuseUnless } from './key-source.ts'
import type { KeyAct } from './key-source.ts'

interface UsageRow {
  readonly written: string // usage code that we write
  readonly accepted: readonly string[] // usage codes that we read as this purpose
  readonly mode: string // mode of use that we write
}

// MAC keys: M3 (algorithm 3) is written; one MAC key of a peer serves the algorithm of its link,
// so M1 (algorithm 1) and M0 are read as well. D0 covers track encryption.
const ROWS: Readonly<Record<KeyUsage, UsageRow>> = {
  pin: { written: 'P0', accepted: ['P0'], mode: 'B' },
  mac: { written: 'M3', accepted: ['M3', 'M1', 'M0'], mode: 'C' },
  track: { written: 'D0', accepted: ['D0'], mode: 'B' },
  kek: { written: 'K0', accepted: ['K0'], mode: 'B' },
  pvk: { written: 'V2', accepted: ['V2', 'V1', 'V0'], mode: 'C' },
  cvk: { written: 'C0', accepted: ['C0'], mode: 'C' },
  imk_ac: { written: 'E0', accepted: ['E0'], mode: 'X' },
  imk_smi: { written: 'E2', accepted: ['E2'], mode: 'X' },
  imk_smc: { written: 'E1', accepted: ['E1'], mode: 'X' },
}

/** Modes of use that allow an act; N is "no restriction". */
const MODES: Readonly<Record<KeyAct, string>> = {
  encrypt: 'BEN',
  decrypt: 'BDN',
  generate: 'CGN',
  verify: 'CVN',
  derive: 'XN',
}

/** Optional block that binds a block to the name of its key (X9.143 label). */
const LABEL_BLOCK = 'LB'

/** Behind this character a name says which of several keys of one name is meant. */
const VARIANT_MARK = '@'

/** Throws Refused key_usage unless the header lets a key of this name do `act` as `usage`. */
export function demandUsage(
  header: KeyBlockHeader,
  name: string,
  usage: KeyUsage,
  act: KeyAct,
): void {
  refuseUnless(ROWS[usage].accepted.includes(header.usage), 'key_usage')
  refuseUnless(MODES[act].includes(header.mode), 'key_usage')
  const label = header.optionalBlocks.find((block) => block.id === LABEL_BLOCK)
  refuseUnless(label === undefined || label.data === nameStem(name), 'key_usage')
}

/**
 * Header text of a 3DES working key: version D, not exportable, labelled with the key's name so
 * that a block cannot be put in the place of another key's.
 */
export function workingKeyHeader(name: string, usage: KeyUsage): string {
  const row = ROWS[usage]
  return buildKeyBlockHeader({
    version: 'D',
    usage: row.written,
    algorithm: 'T',
    mode: row.mode,
    exportability: 'N',
    optionalBlocks: [{ id: LABEL_BLOCK, data: nameStem(name) }],
  })
}

/** The name up to '@': `cups.pin@previous` is the same peer key, one generation older. */
function nameStem(name: string): string {
  const at = name.indexOf(VARIANT_MARK)
  return at < 0 ? name : name.slice(0, at)
}
