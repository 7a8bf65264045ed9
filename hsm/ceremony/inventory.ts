// The inventory of keys in the database: what there is, since when, by whose approval; never a key.
// Called by console/keys/. Every change uses an approval in the same transaction and is in the
// audit chain; migration 0007-officers.sql refuses anything else.

import type { Client } from 'pg'

import { appendEvent } from '../../audit/store.ts'
import type { ApprovedCommand } from '../officers/approvals.ts'
import { OfficerRefusal } from '../officers/refusal.ts'
import type { KeyKind, OfficerUsage } from './key-plan.ts'

export interface InventoryKey {
  readonly name: string
  readonly generation: number
  readonly usage: OfficerUsage
  readonly kind: KeyKind
  readonly kcv: string // upper-case hex
  readonly place: 'token' | 'block'
  readonly origin: 'generated' | 'ceremony' | 'imported' | 'exchanged'
  readonly exportable: boolean
  readonly state: 'active' | 'previous' | 'retired'
  readonly addedAt: Date
  readonly addedBy: string // approval
  readonly changedAt: Date
  readonly changedBy: string
}

/** A key as it comes in; state and times are the database's. */
export type NewKey = Pick<
  InventoryKey,
  'name' | 'usage' | 'kind' | 'kcv' | 'place' | 'origin' | 'exportable'
>

interface Row {
  name: string
  generation: number
  usage: OfficerUsage
  kind: KeyKind
  kcv: string
  place: 'token' | 'block'
  origin: InventoryKey['origin']
  exportable: boolean
  state: InventoryKey['state']
  added_at: Date
  added_by: string
  changed_at: Date
  changed_by: string
}

/** All keys, every generation, by name. */
export async function inventory(sql: Client): Promise<InventoryKey[]> {
  const { rows } = await sql.query<Row>('SELECT * FROM key_inventory ORDER BY name, generation')
  return rows.map(({ added_at, added_by, changed_at, changed_by, ...rest }) => ({
    ...rest,
    addedAt: added_at,
    addedBy: added_by,
    changedAt: changed_at,
    changedBy: changed_by,
  }))
}

/** The generation in force of a name, or null. */
export function activeKey(keys: readonly InventoryKey[], name: string): InventoryKey | null {
  return keys.find((key) => key.name === name && key.state === 'active') ?? null
}

/** The generation that a new key of this name gets. */
export function nextGeneration(keys: readonly InventoryKey[], name: string): number {
  return Math.max(0, ...keys.filter((key) => key.name === name).map((key) => key.generation)) + 1
}

/** Adds a key in the transaction that uses the approval. */
export async function addKey(
  sql: Client,
  key: NewKey,
  generation: number,
  approved: ApprovedCommand,
): Promise<void> {
  const { name, usage, kind, kcv, place, origin, exportable } = key
  await sql.query(
    `INSERT INTO key_inventory
       (name, generation, usage, kind, kcv, place, origin, exportable, state, added_by, changed_by)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'active', $9, $9)`,
    [name, generation, usage, kind, kcv, place, origin, exportable, approved.id],
  )
  await appendEvent(sql, {
    actor: approved.proposer,
    act: 'key.added',
    subject: name,
    detail: { approval: approved.id, generation, usage, kind, kcv, place, origin, exportable },
  })
}

/** Moves a generation on: to `previous` when it is replaced, to `retired` for good. */
export async function changeKey(
  sql: Client,
  key: Pick<InventoryKey, 'name' | 'generation'>,
  state: 'previous' | 'retired',
  approved: ApprovedCommand,
): Promise<void> {
  const { rowCount } = await sql.query(
    `UPDATE key_inventory SET state = $3, changed_by = $4 WHERE name = $1 AND generation = $2`,
    [key.name, key.generation, state, approved.id],
  )
  if (rowCount !== 1) throw new OfficerRefusal(`there is no key '${key.name}'`)
  await appendEvent(sql, {
    actor: approved.proposer,
    act: 'key.changed',
    subject: key.name,
    detail: { approval: approved.id, generation: key.generation, state },
  })
}

/** Makes room for a new generation: active becomes previous, previous retires. */
export async function replaceKey(
  sql: Client,
  keys: readonly InventoryKey[],
  name: string,
  approved: ApprovedCommand,
): Promise<void> {
  const of = (state: InventoryKey['state']): InventoryKey | undefined =>
    keys.find((key) => key.name === name && key.state === state)
  const [previous, active] = [of('previous'), of('active')]
  if (previous !== undefined) await changeKey(sql, previous, 'retired', approved)
  if (active !== undefined) await changeKey(sql, active, 'previous', approved)
}

/** Notes that a key left as a key block for a peer. The block is not kept. */
export async function noteExport(
  sql: Client,
  name: string,
  detail: Readonly<Record<string, unknown>>,
  approved: ApprovedCommand,
): Promise<void> {
  await appendEvent(sql, {
    actor: approved.proposer,
    act: 'key.exported',
    subject: name,
    detail: { approval: approved.id, ...detail },
  })
}
