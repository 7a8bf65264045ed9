// The last step of every command that makes, brings in, replaces or ends a key: token and database
// change together, or neither. A kill between the two is put right by settle() at the next command.
// Used by the verbs of `switchyard keys`.
//
//   settle ─ object under an unfinished name ─ COMMIT (approval used, inventory, audit) ─ settle

import {
  activeKey,
  addKey,
  changeKey,
  inventory,
  nextGeneration,
  replaceKey,
} from '../../hsm/ceremony/inventory.ts'
import type { InventoryKey, NewKey } from '../../hsm/ceremony/inventory.ts'
import type { StagedKey } from '../../hsm/ceremony/staged-key.ts'
import { settle } from '../../hsm/ceremony/settle.ts'
import { useApproval } from '../../hsm/officers/approvals.ts'
import type { ApprovedCommand } from '../../hsm/officers/approvals.ts'
import { transaction } from '../../hsm/officers/transaction.ts'
import { putKeyBlockQuery } from '../../switch/journal/queries.ts'
import { CommandFailed, WrongUsage } from '../help.ts'
import type { Desk } from './desk.ts'

/** Refuses a name that cannot be a key's. */
export function demandKeyName(name: string): void {
  if (/^[a-z0-9][a-z0-9._-]{0,63}$/.test(name)) return
  throw new WrongUsage(`'${name}' is no key name: small letters, digits, . _ -, up to 64`)
}

/** Refuses a new key under a name that is taken, in the inventory or in the token. */
export async function demandFree(desk: Desk, name: string): Promise<void> {
  demandKeyName(name)
  if (activeKey(await inventory(desk.sql), name) !== null) {
    throw new CommandFailed(
      `there is a key '${name}' already`, 'to replace it: switchyard keys rotate',
    )
  }
  demandNoStranger(desk, name)
  const { rows } = await desk.sql.query('SELECT 1 FROM key_block WHERE name = $1', [name])
  if (rows.length > 0) {
    throw new CommandFailed(`the switch uses the name '${name}' for a link's key`)
  }
}

function demandNoStranger(desk: Desk, name: string): void {
  if (desk.session.findKeys(name).length === 0) return
  throw new CommandFailed(`the token has a key '${name}' that no officer made here`)
}

/** The active key of a name. @throws CommandFailed */
export async function demandActive(desk: Desk, name: string): Promise<InventoryKey> {
  const key = activeKey(await inventory(desk.sql), name)
  if (key === null) {
    throw new CommandFailed(`officers made no key '${name}'`, 'see: switchyard keys list')
  }
  return key
}

/** Brings the token to what the inventory says; for every command that changes keys. */
export async function settleToken(desk: Desk): Promise<void> {
  settle(desk.session, await inventory(desk.sql))
}

/**
 * Keeps a staged key in the token; replaces the active generation when there is one.
 *
 * @param also more rows of the same transaction
 */
export async function keepInToken(
  desk: Desk,
  staged: StagedKey,
  key: NewKey,
  approved: ApprovedCommand,
  also: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  await desk.alone(async () => {
    await settleToken(desk)
    const known = await inventory(desk.sql)
    if (activeKey(known, key.name) === null) demandNoStranger(desk, key.name)
    const generation = nextGeneration(known, key.name)
    staged.keep(key.name, generation)
    try {
      await transaction(desk.sql, async () => {
        await useApproval(desk.sql, approved)
        await replaceKey(desk.sql, known, key.name, approved)
        await addKey(desk.sql, key, generation, approved)
        await also()
      })
    } finally {
      staged.drop()
      await settleToken(desk)
    }
  })
}

/** Keeps a working key as its block. */
export async function keepAsBlock(
  desk: Desk,
  block: string,
  key: NewKey,
  approved: ApprovedCommand,
): Promise<void> {
  const known = await inventory(desk.sql)
  await transaction(desk.sql, async () => {
    await useApproval(desk.sql, approved)
    await replaceKey(desk.sql, known, key.name, approved)
    await addKey(desk.sql, key, nextGeneration(known, key.name), approved)
    await desk.sql.query(putKeyBlockQuery(key.name, block, key.kcv, key.usage))
  })
}

/** Ends a key: objects destroyed, block removed, every generation retired. */
export async function endKey(desk: Desk, name: string, approved: ApprovedCommand): Promise<void> {
  await desk.alone(async () => {
    const keys = (await inventory(desk.sql)).filter((key) => key.name === name)
    await transaction(desk.sql, async () => {
      await useApproval(desk.sql, approved)
      for (const key of keys) {
        if (key.state !== 'retired') await changeKey(desk.sql, key, 'retired', approved)
      }
      await desk.sql.query('DELETE FROM key_block WHERE name = $1', [name])
    })
    await settleToken(desk)
  })
}
