// The tables that the audit log accounts for, as audit/replay.ts compares them. Called by
// `switchyard audit verify`; it only reads.

import type { Client } from 'pg'

import { approvalText, keyText, officerText } from './replay.ts'
import type { TableState } from './replay.ts'

/** Reads officers, approvals, keys and ceremony parts, one text a row. */
export async function readTables(sql: Client): Promise<TableState> {
  const officers = await sql.query<{ name: string; key: string; roles: string[]; gone: boolean }>(
    `SELECT name, encode(public_key, 'hex') AS key, roles, removed_at IS NOT NULL AS gone
     FROM officer`,
  )
  const approvals = await sql.query<Record<string, string | null>>(
    'SELECT id, command, payload, proposer, decider, state FROM approval',
  )
  const keys = await sql.query<Record<string, unknown>>(
    `SELECT name || '#' || generation AS row, usage, kind, kcv, place, origin, exportable, state
     FROM key_inventory`,
  )
  const parts = await sql.query<{ row: string; officer: string }>(
    `SELECT approval || '#' || part AS row, officer FROM ceremony_part`,
  )
  const text = (value: string | null | undefined): string => value ?? ''
  return {
    officers: new Map(
      officers.rows.map((row) => [row.name, officerText(row.key, row.roles, row.gone)]),
    ),
    approvals: new Map(
      approvals.rows.map(({ id, command, payload, proposer, decider, state }) => [
        text(id),
        approvalText(text(command), text(payload), text(proposer), text(decider), text(state)),
      ]),
    ),
    keys: new Map(
      keys.rows.map((row) => [String(row['row']), `${keyText(row)} ${String(row['state'])}`]),
    ),
    parts: new Map(parts.rows.map(({ row, officer }) => [row, officer])),
  }
}
