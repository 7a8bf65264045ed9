// `switchyard keys list`, `show`, `verify`, `inventory`: what keys there are and whether they are
// what the inventory says. Called by console/commands/keys.ts. Nothing here changes a key; check
// values are as long as PCI PIN allows.

import { latestEvents } from '../../audit/store.ts'
import { openBlock } from '../../hsm/ceremony/block-exchange.ts'
import { protectionKey } from '../../hsm/ceremony/block-keys.ts'
import { inventory } from '../../hsm/ceremony/inventory.ts'
import type { InventoryKey } from '../../hsm/ceremony/inventory.ts'
import { KINDS, USAGES } from '../../hsm/ceremony/key-plan.ts'
import { objectId, previousLabel, UNFINISHED_SUFFIX } from '../../hsm/ceremony/settle.ts'
import { checkValueOfKept } from '../../hsm/ceremony/staged-key.ts'
import { exposure, keptKeys, keysOfId } from '../../hsm/ceremony/token-calls.ts'
import { OfficerRefusal } from '../../hsm/officers/refusal.ts'
import { wipe } from '../../hsm/algorithms/bytes.ts'
import { keysIn, singleLabel } from '../../hsm/pkcs11/token-objects.ts'
import { TokenFault } from '../../hsm/pkcs11/vendor-errors.ts'
import { CommandFailed } from '../help.ts'
import { table } from '../txn/table.ts'
import type { Desk } from './desk.ts'
import { printJson } from './officers.ts'

/** Lists the keys that officers made; without the retired ones unless asked. */
export async function listKeys(desk: Desk, all: boolean, json: boolean): Promise<void> {
  const keys = (await inventory(desk.sql)).filter((key) => all || key.state !== 'retired')
  if (json) return printJson(keys)
  if (keys.length === 0) {
    process.stdout.write('officers made no keys here yet; see: switchyard keys --help\n')
    return
  }
  const rows = keys.map((key) => [
    key.name,
    String(key.generation),
    key.state,
    key.usage,
    KINDS[key.kind].words,
    key.kcv,
    key.place,
    key.origin,
  ])
  const head = ['key', 'generation', 'state', 'purpose', 'kind', 'check value', 'place', 'origin']
  process.stdout.write(table(head, rows))
}

/** Shows one key with its history out of the audit log. */
export async function showKey(desk: Desk, name: string, json: boolean): Promise<void> {
  const keys = (await inventory(desk.sql)).filter((key) => key.name === name)
  if (keys.length === 0) {
    throw new CommandFailed(`officers made no key '${name}'`, 'see: switchyard keys list --all')
  }
  const events = await latestEvents(desk.sql, 100, name)
  if (json) return printJson({ keys, events })
  for (const key of keys) {
    const { words } = KINDS[key.kind]
    process.stdout.write(
      [
        `key          ${key.name}, generation ${key.generation}, ${key.state}`,
        `purpose      ${key.usage}: ${USAGES[key.usage].words}`,
        `kind         ${words}${key.exportable ? ', exportable' : ''}`,
        `check value  ${key.kcv}`,
        `place        ${key.place === 'token' ? 'object of the token' : 'key block in the database'}`,
        `origin       ${key.origin}, approval ${key.addedBy}`,
        '',
        '',
      ].join('\n'),
    )
  }
  const rows = events.map((event) => [
    String(event.seq),
    new Date(event.atMs).toISOString().slice(0, 19),
    event.actor,
    event.act,
  ])
  process.stdout.write(table(['event', 'time (UTC)', 'officer', 'act'], rows))
}

/** What one key's check found. */
export interface KeyCheck {
  readonly name: string
  readonly generation: number
  readonly ok: boolean
  readonly finding: string
}

/** Compares keys with token and key blocks. @throws CommandFailed when one differs */
export async function verifyKeys(
  desk: Desk,
  name: string | undefined,
  json: boolean,
): Promise<void> {
  const keys = (await inventory(desk.sql)).filter((key) => name === undefined || key.name === name)
  if (name !== undefined && keys.length === 0) {
    throw new CommandFailed(`officers made no key '${name}'`)
  }
  const checks: KeyCheck[] = []
  for (const key of keys) checks.push(await checkKey(desk, key))
  if (json) printJson(checks)
  else {
    const rows = checks.map(({ name: key, generation, ok, finding }) => [
      ok ? 'ok' : 'WRONG',
      key,
      String(generation),
      finding,
    ])
    process.stdout.write(table(['', 'key', 'generation', 'finding'], rows))
  }
  const wrong = checks.filter(({ ok }) => !ok).length
  if (wrong > 0) {
    throw new CommandFailed(`${wrong} of ${checks.length} keys are not as they should be`)
  }
}

async function checkKey(desk: Desk, key: InventoryKey): Promise<KeyCheck> {
  const { name, generation } = key
  try {
    const finding = key.place === 'token' ? inToken(desk, key) : await inBlock(desk, key)
    return { name, generation, ok: finding.ok, finding: finding.says }
  } catch (error) {
    if (!(error instanceof OfficerRefusal || error instanceof TokenFault)) throw error
    return { name, generation, ok: false, finding: error.message }
  }
}

function inToken(desk: Desk, key: InventoryKey): { ok: boolean; says: string } {
  const { session } = desk
  const labels = key.usage === 'cvk' ? [key.name, singleLabel(key.name)] : [key.name]
  for (const label of labels) {
    const found = keysOfId(session, objectId(key.usage, label, key.generation))
    if (key.state === 'retired') {
      if (found.length > 0) return { ok: false, says: 'retired and still in the token' }
      continue
    }
    const [object] = found
    if (object === undefined || found.length > 1) {
      return { ok: false, says: `the token has ${found.length} objects of it, one was expected` }
    }
    const { readable, extractable } = exposure(session, object)
    if (readable || extractable) return { ok: false, says: 'the token would let it out' }
  }
  if (key.state === 'retired') return { ok: true, says: 'gone from the token' }
  const [object] = keysOfId(session, objectId(key.usage, key.name, key.generation))
  const kcv = object === undefined ? '' : checkValueOfKept(session, object, key.kind)
  if (kcv !== key.kcv) return { ok: false, says: `check value ${kcv}, ${key.kcv} was expected` }
  return { ok: true, says: `check value ${kcv}, sensitive, not extractable` }
}

async function inBlock(desk: Desk, key: InventoryKey): Promise<{ ok: boolean; says: string }> {
  const { rows } = await desk.sql.query<{ block: string }>(
    'SELECT block FROM key_block WHERE name = $1',
    [key.name],
  )
  const block = rows[0]?.block
  if (key.state !== 'active') return { ok: true, says: 'not in force' }
  if (block === undefined) return { ok: false, says: 'its key block is gone' }
  const own = protectionKey(desk.session, desk.place.kbpk, 'kbpk')
  const opened = openBlock(desk.session, own, block, key.usage)
  wipe(opened.clear)
  if (opened.kcv !== key.kcv) {
    return { ok: false, says: `check value ${opened.kcv}, ${key.kcv} was expected` }
  }
  const { version, exportability } = opened.header
  return {
    ok: true,
    says: `check value ${key.kcv}, block ${version}, exportability ${exportability}`,
  }
}

/** Every key there is, officers' or not: what an assessor asks for (PCI PIN 18-3). */
export async function showInventory(desk: Desk, json: boolean): Promise<void> {
  const keys = await inventory(desk.sql)
  const ours = new Set(
    keys.flatMap(({ name }) =>
      [name, previousLabel(name)].flatMap((label) => [label, singleLabel(label)]),
    ),
  )
  const unfinished = keptKeys(desk.session).filter(({ label }) => label.endsWith(UNFINISHED_SUFFIX))
  const inTokenNow = keysIn(desk.session)
  const blocks = await desk.sql.query<{ name: string; block: string; usage: string; kcv: string }>(
    'SELECT name, block, usage, kcv FROM key_block ORDER BY name',
  )
  const rows = [
    ...inTokenNow.map(({ name, usage, type, extractable }) => ({
      name,
      place: 'token',
      purpose: usage,
      kind: type as string,
      by: ours.has(name) ? 'officers' : name.startsWith('demo.') ? 'demonstration' : 'not recorded',
      protection: extractable ? 'EXTRACTABLE' : 'never leaves',
    })),
    ...blocks.rows.map(({ name, block, usage }) => ({
      name,
      place: 'key block',
      purpose: usage,
      kind: block.slice(7, 8) === 'A' ? 'aes' : 'tdes',
      by: ours.has(name) ? 'officers' : 'key exchange',
      protection: `X9.143 version ${block.slice(0, 1)}`,
    })),
  ]
  if (json) return printJson({ keys: rows, unfinished: unfinished.map(({ label }) => label) })
  const head = ['key', 'place', 'purpose', 'kind', 'made by', 'protection']
  const cells = rows.map(
    (row) => [row.name, row.place, row.purpose, row.kind, row.by, row.protection],
  )
  process.stdout.write(table(head, cells))
}
