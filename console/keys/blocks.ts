// `switchyard keys import` and `export`: key blocks (X9.143, TR-31) from and to a peer. Called by
// console/commands/keys.ts. A block is read from a file or stdin, never from the command line, and
// is bound to the approval by its SHA-256.

import { readFileSync, writeFileSync } from 'node:fs'

import { wipe } from '../../hsm/algorithms/bytes.ts'
import {
  BLOCK_CHARACTERS_MAX,
  demandExportable,
  openBlock,
  sealBlock,
} from '../../hsm/ceremony/block-exchange.ts'
import { protectionKey } from '../../hsm/ceremony/block-keys.ts'
import { noteExport } from '../../hsm/ceremony/inventory.ts'
import { USAGES } from '../../hsm/ceremony/key-plan.ts'
import { StagedKey } from '../../hsm/ceremony/staged-key.ts'
import { payloadHash, useApproval } from '../../hsm/officers/approvals.ts'
import { transaction } from '../../hsm/officers/transaction.ts'
import { CommandFailed, WrongUsage } from '../help.ts'
import type { Desk } from './desk.ts'
import { ownBlock, wantedKey } from './make.ts'
import type { KeyOptions } from './make.ts'
import { bothOfficers } from './sign-in.ts'
import type { TwoOfficers } from './sign-in.ts'
import { demandActive, demandFree, keepAsBlock, keepInToken } from './store-key.ts'

export interface ImportOptions extends KeyOptions {
  readonly under: string
  readonly block: string // file or '-'
  readonly replace?: boolean
}

/** Brings in a key from a block under a KEK of the token, after every check of its header. */
export async function importBlock(desk: Desk, name: string, options: ImportOptions): Promise<void> {
  const usage = wantedKey(options).usage
  if (options.replace === true) await demandActive(desk, name)
  else await demandFree(desk, name)
  const text = blockText(options.block)
  const protection = protectionKey(desk.session, options.under, 'kek')
  const opened = openBlock(desk.session, protection, text, usage)
  try {
    const exportable = options.exportable === true
    if (exportable && USAGES[usage].place === 'token') {
      throw new WrongUsage(`a key for '${usage}' lives in the token and never leaves it`)
    }
    if (exportable) demandExportable(opened.header, name)
    const { kind, kcv } = opened
    const payload = {
      ...{ command: 'keys.import', name, usage, kind, kcv, exportable },
      ...{
        under: options.under,
        block_sha256: payloadHash(text),
        replace: options.replace === true,
      },
    }
    const approved = await bothOfficers(desk, options, payload)
    if (approved === null) return
    const row = { name, usage, kind, kcv, exportable, origin: 'imported' as const }
    if (USAGES[usage].place === 'token') {
      const staged = new StagedKey(desk.session, usage, kind, 'token')
      staged.load(opened.clear)
      await keepInToken(desk, staged, { ...row, place: 'token' }, approved)
    } else {
      const block = ownBlock(desk, { name, usage, kind, exportable }, opened.clear)
      await keepAsBlock(desk, block, { ...row, place: 'block' }, approved)
    }
    process.stdout.write(`key ${name} (${usage}) imported\ncheck value ${kcv}\n`)
  } finally {
    wipe(opened.clear)
  }
}

export interface ExportOptions extends TwoOfficers {
  readonly under: string
  readonly out?: string
}

/** Hands out an exportable working key as a block under a KEK shared with a peer. */
export async function exportBlock(desk: Desk, name: string, options: ExportOptions): Promise<void> {
  const key = await demandActive(desk, name)
  if (key.place === 'token') {
    throw new CommandFailed(`'${name}' lives in the token, which never lets it leave`)
  }
  const protection = protectionKey(desk.session, options.under, 'kek')
  const { rows } = await desk.sql.query<{ block: string }>(
    'SELECT block FROM key_block WHERE name = $1',
    [name],
  )
  const own = protectionKey(desk.session, desk.place.kbpk, 'kbpk')
  const opened = openBlock(desk.session, own, rows[0]?.block ?? '', key.usage)
  try {
    demandExportable(opened.header, name)
    if (opened.kcv !== key.kcv) throw new CommandFailed(`'${name}' is not the key of the inventory`)
    const { kcv, kind, usage } = key
    const under = options.under
    const approved = await bothOfficers(desk, options, { command: 'keys.export', name, kcv, under })
    if (approved === null) return
    const block = sealBlock(desk.session, protection, usage, kind, opened.clear, {
      exportability: 'N',
      mode: opened.header.mode,
    })
    await transaction(desk.sql, async () => {
      await useApproval(desk.sql, approved)
      await noteExport(desk.sql, name, { under, kcv, block_sha256: payloadHash(block) }, approved)
    })
    if (options.out === undefined) process.stdout.write(`${block}\n`)
    else writeFileSync(options.out, `${block}\n`, { mode: 0o600, flag: 'wx' })
    process.stderr.write(`switchyard: ${name} exported under ${under}, check value ${kcv}\n`)
  } finally {
    wipe(opened.clear)
  }
}

function blockText(file: string): string {
  let text: string
  try {
    text = readFileSync(file === '-' ? 0 : file, 'latin1').trim()
  } catch {
    throw new CommandFailed(`the key block cannot be read from ${file}`)
  }
  if (text.length > BLOCK_CHARACTERS_MAX) throw new CommandFailed('that is longer than a key block')
  return text
}
