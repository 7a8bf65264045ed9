// `switchyard keys generate`, `rotate`, `exchange`, `retire`: keys made inside the token, replaced,
// made for a peer, ended. Called by console/commands/keys.ts. Nothing here shows or takes a clear
// key; a cryptogram for a peer goes to stdout and nowhere else.

import { readFileSync } from 'node:fs'

import { wipe } from '../../hsm/algorithms/bytes.ts'
import { withOddParity } from '../../hsm/algorithms/key-combination.ts'
import { checkValueOfClear, sealBlock } from '../../hsm/ceremony/block-exchange.ts'
import { protectionKey } from '../../hsm/ceremony/block-keys.ts'
import { KINDS, kindFor, USAGES, usageOf } from '../../hsm/ceremony/key-plan.ts'
import type { KeyKind, OfficerUsage } from '../../hsm/ceremony/key-plan.ts'
import { StagedKey } from '../../hsm/ceremony/staged-key.ts'
import type { ApprovedCommand } from '../../hsm/officers/approvals.ts'
import { TokenCipher } from '../../hsm/pkcs11/token-cipher.ts'
import { CommandFailed, WrongUsage } from '../help.ts'
import type { Desk } from './desk.ts'
import { bothOfficers } from './sign-in.ts'
import type { TwoOfficers } from './sign-in.ts'
import { demandActive, demandFree, endKey, keepAsBlock, keepInToken } from './store-key.ts'

export interface KeyOptions extends TwoOfficers {
  readonly usage?: string
  readonly kind?: string
  readonly exportable?: boolean
}

/** Usage and kind of the words on the command line. @throws WrongUsage */
export function wantedKey(options: KeyOptions): { usage: OfficerUsage; kind: KeyKind } {
  const usage = options.usage === undefined ? null : usageOf(options.usage)
  if (usage === null) {
    throw new WrongUsage(`--usage is one of ${Object.keys(USAGES).join(' ')}`)
  }
  const kind = kindFor(usage, options.kind)
  if (kind === null) {
    throw new WrongUsage(`a key for '${usage}' is one of ${USAGES[usage].kinds.join(' ')}`)
  }
  return { usage, kind }
}

/** Makes a key at random: inside the token, or as a key block for a working key. */
export async function generate(desk: Desk, name: string, options: KeyOptions): Promise<void> {
  const { usage, kind } = wantedKey(options)
  const exportable = options.exportable === true
  if (exportable && USAGES[usage].place === 'token') {
    throw new WrongUsage(`a key for '${usage}' lives in the token and never leaves it`)
  }
  await demandFree(desk, name)
  const payload = { command: 'keys.generate', name, usage, kind, exportable }
  const approved = await bothOfficers(desk, options, payload)
  if (approved === null) return
  const kcv = await makeAndKeep(desk, { name, usage, kind, exportable }, approved)
  process.stdout.write(`key ${name} (${usage}, ${KINDS[kind].words}) made\ncheck value ${kcv}\n`)
}

/** Makes the next generation of a key; the one before stays as NAME@previous. */
export async function rotate(desk: Desk, name: string, options: TwoOfficers): Promise<void> {
  const old = await demandActive(desk, name)
  if (old.usage === 'kbpk' || old.usage === 'vault') {
    const next = 'everything under it must be wrapped anew; see docs/operating/keys.md'
    throw new CommandFailed(`'${name}' protects other keys and is not rotated alone`, next)
  }
  if (old.origin !== 'generated') {
    const way = old.origin === 'ceremony' ? 'ceremony' : old.origin.replace(/ed$/, '')
    throw new CommandFailed(
      `'${name}' came by ${old.origin}: its other holder must have the new one too`,
      `repeat switchyard keys ${way} ${name} with --replace`,
    )
  }
  const { usage, kind, exportable, generation } = old
  const payload = { command: 'keys.rotate', name, usage, kind, exportable, replaces: generation }
  const approved = await bothOfficers(desk, options, payload)
  if (approved === null) return
  const kcv = await makeAndKeep(desk, { name, usage, kind, exportable }, approved)
  process.stdout.write(`key ${name} replaced, generation ${generation + 1}\ncheck value ${kcv}\n`)
}

async function makeAndKeep(
  desk: Desk,
  wanted: { name: string; usage: OfficerUsage; kind: KeyKind; exportable: boolean },
  approved: ApprovedCommand,
): Promise<string> {
  const { usage, kind } = wanted
  const key = { ...wanted, place: USAGES[usage].place, origin: 'generated' as const }
  if (key.place === 'token') {
    const staged = new StagedKey(desk.session, usage, kind, 'token')
    staged.generate()
    const kcv = staged.checkValue()
    await keepInToken(desk, staged, { ...key, kcv }, approved)
    return kcv
  }
  const random = desk.session.random(KINDS[kind].bytes)
  const clear = withOddParity(random)
  try {
    const kcv = checkValueOfClear(desk.session, clear, kind)
    await keepAsBlock(desk, ownBlock(desk, wanted, clear), { ...key, kcv }, approved)
    return kcv
  } finally {
    wipe(random, clear)
  }
}

/** A working key under our own block protection key, bound to its name. */
export function ownBlock(
  desk: Desk,
  key: { name: string; usage: OfficerUsage; kind: KeyKind; exportable: boolean },
  clear: Uint8Array,
): string {
  const protection = protectionKey(desk.session, desk.place.kbpk, 'kbpk')
  return sealBlock(desk.session, protection, key.usage, key.kind, clear, {
    label: key.name,
    exportability: key.exportable ? 'E' : 'N',
  })
}

export interface ExchangeOptions extends KeyOptions {
  readonly kek: string
  readonly received?: string // file or '-'
  readonly kcv?: string
  readonly replace?: boolean
}

/**
 * A working key shared with a peer under a KEK by plain ECB (ANSI X9.17), for peers without key
 * blocks: made here and printed as its cryptogram, or taken from the peer's cryptogram.
 */
export async function exchange(desk: Desk, name: string, options: ExchangeOptions): Promise<void> {
  const { usage, kind } = wantedKey({ ...options, kind: 'tdes2' })
  if (USAGES[usage].place !== 'block') {
    throw new WrongUsage('exchange is for pin, mac and track keys')
  }
  if (options.replace === true) await demandActive(desk, name)
  else await demandFree(desk, name)
  const kek = protectionKey(desk.session, options.kek, 'kek')
  if (kek.wide) throw new CommandFailed(`'${options.kek}' is AES`, 'use key blocks: keys export')
  const received = options.received === undefined ? null : cryptogram(options.received)
  const direction = received === null ? 'send' : 'receive'
  const replace = options.replace === true
  const stated = options.kcv?.toUpperCase() ?? ''
  if (!/^([0-9A-F]{6,16})?$/.test(stated)) throw new WrongUsage('--kcv is 6 to 16 hex digits')
  const payload = {
    ...{ command: 'keys.exchange', name, usage, kek: options.kek, direction, replace },
    kcv: stated,
  }
  const approved = await bothOfficers(desk, options, payload)
  if (approved === null) return
  const cipher = new TokenCipher(desk.session, kek.handle, 'tdes')
  const random = desk.session.random(KINDS[kind].bytes)
  const clear = received === null ? withOddParity(random) : cipher.decryptEcb(received)
  try {
    const kcv = checkValueOfClear(desk.session, clear, kind)
    if (stated !== '' && stated.slice(0, 6) !== kcv) {
      throw new CommandFailed('the check value is not that of the key', 'nothing was changed')
    }
    const key = { name, usage, kind, exportable: false }
    const row = { ...key, kcv, place: 'block' as const, origin: 'exchanged' as const }
    await keepAsBlock(desk, ownBlock(desk, key, clear), row, approved)
    if (received === null) {
      const text = Buffer.from(cipher.encryptEcb(clear)).toString('hex').toUpperCase()
      process.stdout.write(`cryptogram under ${options.kek}  ${text}\n`)
    }
    process.stdout.write(`check value ${kcv}\n`)
  } finally {
    wipe(random, clear)
  }
}

function cryptogram(file: string): Uint8Array {
  const text = readFileSync(file === '-' ? 0 : file, 'latin1').replace(/\s/g, '')
  if (!/^[0-9A-Fa-f]{32}$/.test(text)) {
    throw new CommandFailed(
      'a cryptogram is 32 hex digits', 'a double-length 3DES key under the KEK',
    )
  }
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

/** Ends a key for good; its name must be typed. */
export async function retire(desk: Desk, name: string, options: TwoOfficers): Promise<void> {
  const key = await demandActive(desk, name)
  const { usage, kind, kcv, generation } = key
  const payload = { command: 'keys.retire', name, usage, kind, kcv, generation }
  const approved = await bothOfficers(desk, options, payload)
  if (approved === null) return
  const typed = await desk.terminal.ask(
    `Key ${name} is destroyed and nothing brings it back.\nType its name to go on: `,
  )
  if (typed !== name) throw new CommandFailed('the name was not typed', 'nothing was changed')
  await endKey(desk, name, approved)
  process.stdout.write(`key ${name} retired and destroyed\n`)
}
