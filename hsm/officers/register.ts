// The officers in the database: who they are, what they may do, who came and who went. Called by
// console/keys/. Constraints of the same rules stand in migration 0007-officers.sql; every change
// commits together with its audit event.

import type { Client } from 'pg'

import { appendEvent } from '../../audit/store.ts'
import { isSignedBy } from '../../audit/statement.ts'
import { payloadHash, payloadText, useApproval } from './approvals.ts'
import type { ApprovedCommand } from './approvals.ts'
import { OfficerRefusal } from './refusal.ts'
import type { Signed, Signer } from './signer.ts'
import { transaction } from './transaction.ts'

export type Role = 'custodian' | 'approver' | 'auditor'

export const ROLES: readonly Role[] = ['custodian', 'approver', 'auditor']

/** Officers who come without an approval: the two who begin. */
export const FOUNDING_OFFICERS = 2

export interface Officer {
  readonly name: string
  readonly roles: readonly Role[]
  readonly publicKey: string // lower-case hex
  readonly addedAt: Date
  readonly removedAt: Date | null
}

/** All officers, also those who went, in the order in which they came. */
export async function officers(sql: Client): Promise<Officer[]> {
  const { rows } = await sql.query<{
    name: string
    roles: Role[]
    public_key: string
    added_at: Date
    removed_at: Date | null
  }>(
    `SELECT name, roles, encode(public_key, 'hex') AS public_key, added_at, removed_at
     FROM officer ORDER BY added_at, name`,
  )
  return rows.map((row) => ({
    name: row.name,
    roles: row.roles,
    publicKey: row.public_key,
    addedAt: row.added_at,
    removedAt: row.removed_at,
  }))
}

/**
 * The officer of a name, after the signer proved to hold their key: a fresh challenge is signed and
 * verified with the public key of the database.
 *
 * @throws OfficerRefusal when there is no such officer, the key is another, or the role is missing
 */
export async function authenticate(sql: Client, signer: Signer, role?: Role): Promise<Officer> {
  const found = (await officers(sql)).find(({ name }) => name === signer.name)
  if (found === undefined) throw new OfficerRefusal(`there is no officer '${signer.name}'`)
  if (found.removedAt !== null) throw new OfficerRefusal(`officer '${found.name}' was removed`)
  const { statement, signature } = signer.sign('log_in', '-', payloadHash('log_in'))
  if (!isSignedBy(found.publicKey, statement, signature)) {
    throw new OfficerRefusal(`this key file is not the one of officer '${found.name}'`)
  }
  if (role !== undefined && !found.roles.includes(role)) {
    throw new OfficerRefusal(`officer '${found.name}' is no ${role} (${found.roles.join(', ')})`)
  }
  return found
}

/** What is proposed when an officer is to come; the exact text that is approved. */
export function additionPayload(
  name: string,
  roles: readonly Role[],
  publicKey: string,
): { command: string; name: string; roles: Role[]; public_key: string } {
  return { command: 'officers.add', name, roles: [...roles].sort(), public_key: publicKey }
}

/** Adds one of the first two officers; the database refuses a third. */
export async function foundOfficer(sql: Client, signer: Signer): Promise<void> {
  const roles: Role[] = ['approver', 'custodian']
  const joined = joining(signer, roles)
  await transaction(sql, async () => {
    await insertOfficer(sql, signer, roles, null)
    await appendEvent(sql, {
      actor: signer.name,
      act: 'officer.founded',
      subject: signer.name,
      detail: { public_key: signer.publicKey, roles, ...joined },
    })
  })
}

/** Adds an officer under an approval of `additionPayload`. */
export async function addOfficer(
  sql: Client,
  signer: Signer,
  roles: readonly Role[],
  approved: ApprovedCommand,
): Promise<void> {
  const sorted = [...roles].sort()
  const joined = joining(signer, sorted)
  await transaction(sql, async () => {
    await useApproval(sql, approved)
    await insertOfficer(sql, signer, sorted, approved.id)
    await appendEvent(sql, {
      actor: approved.proposer,
      act: 'officer.added',
      subject: signer.name,
      detail: { approval: approved.id, public_key: signer.publicKey, roles: sorted, ...joined },
    })
  })
}

/** Removes an officer under an approval. Their name is never used again. */
export async function removeOfficer(
  sql: Client,
  name: string,
  approved: ApprovedCommand,
): Promise<void> {
  await transaction(sql, async () => {
    await useApproval(sql, approved)
    const { rowCount } = await sql.query(
      `UPDATE officer SET removed_at = now(), removed_by = $2
       WHERE name = $1 AND removed_at IS NULL`,
      [name, approved.id],
    )
    if (rowCount !== 1) throw new OfficerRefusal(`there is no officer '${name}'`)
    await appendEvent(sql, {
      actor: approved.proposer,
      act: 'officer.removed',
      subject: name,
      detail: { approval: approved.id },
    })
  })
}

/** The newcomer proves to hold the key by signing what is said about them. */
function joining(signer: Signer, roles: readonly Role[]): Signed {
  const payload = payloadText(additionPayload(signer.name, roles, signer.publicKey))
  return signer.sign('join', signer.name, payloadHash(payload))
}

async function insertOfficer(
  sql: Client,
  signer: Signer,
  roles: readonly Role[],
  addedBy: string | null,
): Promise<void> {
  await sql.query(
    `INSERT INTO officer (name, roles, public_key, added_by)
     VALUES ($1, $2, decode($3, 'hex'), $4)`,
    [signer.name, roles, signer.publicKey, addedBy],
  )
}
