// Issuer scripts in DE55 (templates 71 and 72) and the results that come back (DF31). Pure: MACs
// and encipherment come from hsm/algorithms/issuer-script.ts. Called by the authorizer's chip
// answer and by simulators. EMV Book 3, 10.10; PBOC 3.0 part 5; UnionPay chip message rules.

import { demandEmv } from './faults.ts'
import { parseTlv } from './tlv.ts'

const SCRIPT_COMMAND = 0x86
const SCRIPT_IDENTIFIER = 0x9f18

/** Longest template that UnionPay and Visa carry, in bytes with its tag and length. */
export const SCRIPT_TEMPLATE_BYTES_MAX = 128

/** A script: executed before (71) or after (72) the second GENERATE AC. */
export interface IssuerScript {
  readonly template: 0x71 | 0x72
  /** Script identifier 9F18, 4 bytes; undefined where the issuer gives none. */
  readonly identifier: Uint8Array | undefined
  /** Full command APDUs in order. */
  readonly commands: readonly Uint8Array[]
}

function lengthBytes(length: number): readonly number[] {
  return length < 0x80 ? [length] : [0x81, length]
}

/** Script template as DE55 carries it. Throws EmvError 'length' when it is too long. */
export function buildIssuerScript(script: IssuerScript): Uint8Array {
  const body: number[] = []
  if (script.identifier !== undefined) {
    demandEmv(script.identifier.length === 4, 'length', '9F18')
    body.push(0x9f, 0x18, 0x04, ...script.identifier)
  }
  demandEmv(script.commands.length >= 1, 'missing', '86')
  for (const command of script.commands) {
    demandEmv(command.length >= 4 && command.length <= 255, 'length', '86')
    body.push(0x86, ...lengthBytes(command.length), ...command)
  }
  demandEmv(body.length <= 255, 'length', 'issuer script template')
  const out = Uint8Array.of(script.template, ...lengthBytes(body.length), ...body)
  demandEmv(out.length <= SCRIPT_TEMPLATE_BYTES_MAX, 'length', 'issuer script template')
  return out
}

/**
 * Script of a template's value (without tag 71 or 72 and length), as a card simulator reads it.
 * Throws EmvError 'format' for anything but an optional 9F18 and one or more 86.
 */
export function parseIssuerScript(template: 0x71 | 0x72, value: Uint8Array): IssuerScript {
  const items = parseTlv(value)
  demandEmv(items !== null, 'format', 'issuer script template')
  let identifier: Uint8Array | undefined
  const commands: Uint8Array[] = []
  for (const item of items) {
    const known = item.tag === SCRIPT_IDENTIFIER || item.tag === SCRIPT_COMMAND
    demandEmv(known, 'format', 'object in an issuer script')
    if (item.tag === SCRIPT_COMMAND) {
      commands.push(item.value.slice())
      continue
    }
    demandEmv(commands.length === 0 && identifier === undefined, 'format', 'place of 9F18')
    demandEmv(item.value.length === 4, 'length', '9F18')
    identifier = item.value.slice()
  }
  demandEmv(commands.length >= 1, 'missing', '86')
  return { template, identifier, commands }
}

/** PUT DATA command without its MAC: header and data; Lc counts the MAC that will follow. */
export function putDataCommand(tag: number, data: Uint8Array, macBytes: number): Uint8Array {
  demandEmv(data.length + macBytes <= 255, 'length', 'PUT DATA')
  return Uint8Array.of(0x04, 0xda, (tag >> 8) & 0xff, tag & 0xff, data.length + macBytes, ...data)
}

/** Outcome of one script, from the result nibble. */
export type ScriptOutcome = 'not_performed' | 'failed' | 'successful' | 'unknown'

/** One entry of DF31. */
export interface ScriptResult {
  readonly outcome: ScriptOutcome
  /** Number of the command that failed, 0 when none or not told. */
  readonly sequence: number
  readonly identifier: Uint8Array
}

/**
 * Entries of DF31: result nibble and sequence nibble, then the script identifier (4 bytes), for
 * each script. Throws EmvError 'length' for a part of an entry.
 */
export function parseScriptResults(value: Uint8Array): readonly ScriptResult[] {
  demandEmv(value.length % 5 === 0, 'length', 'DF31')
  const outcomes: readonly ScriptOutcome[] = ['not_performed', 'failed', 'successful']
  const results: ScriptResult[] = []
  for (let at = 0; at < value.length; at += 5) {
    results.push({
      outcome: outcomes[value[at]! >> 4] ?? 'unknown',
      sequence: value[at]! & 0x0f,
      identifier: value.slice(at + 1, at + 5),
    })
  }
  return results
}
