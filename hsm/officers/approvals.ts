// Dual control: one officer proposes an exact payload, another approves it, then it happens once,
// within 15 minutes. Called by console/keys/ and hsm/ceremony. The same rules are constraints and
// triggers of migration 0007-officers.sql; this file gives the reasons in words and the signatures.
//
//   proposed ──approve──> approved ──use──> used          after 15 minutes nothing moves any more
//       └─────reject────> rejected

import { createHash } from 'node:crypto'
import type { Client } from 'pg'

import { isSignedBy, parseStatement } from '../../audit/statement.ts'
import { appendEvent } from '../../audit/store.ts'
import type { Random } from '../../switch/runtime/random.ts'
import { OfficerRefusal } from './refusal.ts'
import type { Signer } from './signer.ts'
import { transaction } from './transaction.ts'

export type ApprovalState = 'proposed' | 'approved' | 'rejected' | 'used'

export interface Approval {
  readonly id: string
  readonly command: string
  readonly payload: string
  readonly payloadSha256: string
  readonly proposer: string
  readonly state: ApprovalState
  readonly decider: string | null
  readonly expiresAt: Date
  readonly expired: boolean // by the database's clock
  readonly proposal: string
  readonly proposalSignature: string
  readonly proposerKey: string
  readonly decision: string | null
  readonly decisionSignature: string | null
  readonly deciderKey: string | null
}

/** What two officers agree to: a command with all its parameters, no secret among them. */
export interface Payload {
  readonly command: string
  readonly [field: string]: unknown
}

/** An approval that may be used for exactly this payload. */
export interface ApprovedCommand {
  readonly id: string
  readonly proposer: string
  readonly decider: string
  readonly payloadSha256: string
}

const ID_LETTERS = 'abcdefghijklmnopqrstuvwxyz234567'
const ID_LENGTH = 8

/** The exact text that is approved: one line of JSON, keys in order. */
export function payloadText(payload: Payload): string {
  const ordered = Object.entries(payload).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify(Object.fromEntries(ordered))
}

/** SHA-256 of a payload's text, lower-case hex. */
export function payloadHash(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}

/** Stores a proposal with its audit event. @returns the approval's name */
export async function propose(
  sql: Client,
  signer: Signer,
  payload: Payload,
  random: Random,
): Promise<string> {
  const letters = Array.from({ length: ID_LENGTH }, () => ID_LETTERS[random.below(32)])
  const id = letters.join('')
  const text = payloadText(payload)
  const sha256 = payloadHash(text)
  const { statement, signature } = signer.sign('propose', id, sha256)
  await transaction(sql, async () => {
    await sql.query(
      `INSERT INTO approval (id, command, payload, payload_sha256, proposer, proposal,
         proposal_signature, proposed_at, expires_at, state)
       VALUES ($1, $2, $3, decode($4, 'hex'), $5, $6, decode($7, 'hex'), now(), now(), 'proposed')`,
      [id, payload.command, text, sha256, signer.name, statement, signature],
    )
    await appendEvent(sql, {
      actor: signer.name,
      act: 'approval.proposed',
      subject: id,
      detail: { command: payload.command, payload: text, statement, signature },
    })
  })
  return id
}

/** Approves or rejects. Throws OfficerRefusal for the proposer, a wrong state or after expiry. */
export async function decide(
  sql: Client,
  signer: Signer,
  id: string,
  decision: 'approved' | 'rejected',
): Promise<Approval> {
  const approval = await approvalOf(sql, id)
  if (approval.proposer === signer.name) {
    throw new OfficerRefusal(
      `you proposed ${id} yourself`,
      'another officer with the role approver decides',
    )
  }
  if (approval.state !== 'proposed') {
    throw new OfficerRefusal(`approval ${id} is ${approval.state} already`)
  }
  demandInTime(approval)
  demandSigned(approval)
  const act = decision === 'approved' ? 'approve' : 'reject'
  const { statement, signature } = signer.sign(act, id, approval.payloadSha256)
  await transaction(sql, async () => {
    await sql.query(
      `UPDATE approval SET state = $2, decider = $3, decision = $4, decided_at = now(),
         decision_signature = decode($5, 'hex') WHERE id = $1`,
      [id, decision, signer.name, statement, signature],
    )
    await appendEvent(sql, {
      actor: signer.name,
      act: decision === 'approved' ? 'approval.approved' : 'approval.rejected',
      subject: id,
      detail: { payload_sha256: approval.payloadSha256, statement, signature },
    })
  })
  return approvalOf(sql, id)
}

/**
 * The approval as something that may be used, after checking everything that can be checked before
 * the act: state, time, proposer, both signatures, and that the payload is exactly this one.
 *
 * @throws OfficerRefusal
 */
export async function demandApproved(
  sql: Client,
  id: string,
  proposer: string,
  payload: Payload,
): Promise<ApprovedCommand> {
  const approval = await approvalOf(sql, id)
  if (approval.state === 'used') {
    throw new OfficerRefusal(`approval ${id} was used; an approval serves once`, 'propose again')
  }
  if (approval.state === 'rejected') throw new OfficerRefusal(`approval ${id} was rejected`)
  demandInTime(approval)
  if (payloadHash(payloadText(payload)) !== approval.payloadSha256) {
    throw new OfficerRefusal(
      `approval ${id} is for something else: ${approval.payload}`,
      'repeat the command exactly as it was proposed',
    )
  }
  if (approval.proposer !== proposer) {
    throw new OfficerRefusal(`approval ${id} was proposed by ${approval.proposer}`)
  }
  if (approval.state !== 'approved' || approval.decider === null) {
    const next = `another officer runs: switchyard keys approvals approve ${id}`
    throw new OfficerRefusal(`approval ${id} waits for another officer`, next)
  }
  demandSigned(approval)
  const { payloadSha256, decider } = approval
  return { id, proposer, decider, payloadSha256 }
}

/** Marks an approval as used, inside the transaction that does what it allows. */
export async function useApproval(sql: Client, approved: ApprovedCommand): Promise<void> {
  const { rowCount } = await sql.query(
    `UPDATE approval SET state = 'used', used_at = now(), used_xid = pg_current_xact_id()
     WHERE id = $1 AND payload_sha256 = decode($2, 'hex')`,
    [approved.id, approved.payloadSha256],
  )
  if (rowCount !== 1) throw new OfficerRefusal(`there is no approval ${approved.id}`)
  await appendEvent(sql, {
    actor: approved.proposer,
    act: 'approval.used',
    subject: approved.id,
    detail: { payload_sha256: approved.payloadSha256 },
  })
}

const SELECT = `
  SELECT a.id, a.command, a.payload, encode(a.payload_sha256, 'hex') AS payload_sha256, a.proposer,
    a.state, a.decider, a.expires_at, clock_timestamp() > a.expires_at AS expired, a.proposal,
    encode(a.proposal_signature, 'hex') AS proposal_signature, a.decision,
    encode(a.decision_signature, 'hex') AS decision_signature,
    encode(p.public_key, 'hex') AS proposer_key, encode(d.public_key, 'hex') AS decider_key
  FROM approval a JOIN officer p ON p.name = a.proposer LEFT JOIN officer d ON d.name = a.decider`

interface ApprovalRow {
  id: string
  command: string
  payload: string
  payload_sha256: string
  proposer: string
  state: ApprovalState
  decider: string | null
  expires_at: Date
  expired: boolean
  proposal: string
  proposal_signature: string
  decision: string | null
  decision_signature: string | null
  proposer_key: string
  decider_key: string | null
}

/** The approval of a name. Throws OfficerRefusal when there is none. */
export async function approvalOf(sql: Client, id: string): Promise<Approval> {
  const { rows } = await sql.query<ApprovalRow>(`${SELECT} WHERE a.id = $1`, [id])
  const row = rows[0]
  if (row === undefined) {
    throw new OfficerRefusal(`there is no approval '${id}'`, 'see: switchyard keys approvals list')
  }
  return asApproval(row)
}

/** Approvals, newest first; those that still wait, or all. At most 200. */
export async function approvals(sql: Client, all: boolean): Promise<Approval[]> {
  const open = `WHERE a.state IN ('proposed', 'approved') AND clock_timestamp() <= a.expires_at`
  const text = `${SELECT} ${all ? '' : open} ORDER BY a.proposed_at DESC LIMIT 200`
  const { rows } = await sql.query<ApprovalRow>(text)
  return rows.map(asApproval)
}

function asApproval(row: ApprovalRow): Approval {
  return {
    id: row.id,
    command: row.command,
    payload: row.payload,
    payloadSha256: row.payload_sha256,
    proposer: row.proposer,
    state: row.state,
    decider: row.decider,
    expiresAt: row.expires_at,
    expired: row.expired,
    proposal: row.proposal,
    proposalSignature: row.proposal_signature,
    proposerKey: row.proposer_key,
    decision: row.decision,
    decisionSignature: row.decision_signature,
    deciderKey: row.decider_key,
  }
}

function demandInTime(approval: Approval): void {
  if (!approval.expired) return
  throw new OfficerRefusal(`approval ${approval.id} has expired after 15 minutes`, 'propose again')
}

/** Both signatures, over this approval and this payload: a row that was edited does not serve. */
function demandSigned(approval: Approval): void {
  const { id, proposer, decider, payload, payloadSha256 } = approval
  const whole =
    payloadHash(payload) === payloadSha256 &&
    says(approval.proposal, 'propose', proposer, approval) &&
    isSignedBy(approval.proposerKey, approval.proposal, approval.proposalSignature) &&
    (decider === null ||
      (says(approval.decision ?? '', 'approve', decider, approval) &&
        isSignedBy(
          approval.deciderKey ?? '',
          approval.decision ?? '',
          approval.decisionSignature ?? '',
        )))
  if (!whole) {
    throw new OfficerRefusal(
      `approval ${id} is not as it was signed`, 'run: switchyard audit verify',
    )
  }
}

function says(text: string, act: string, officer: string, approval: Approval): boolean {
  const statement = parseStatement(text)
  return (
    statement !== null &&
    statement.act === act &&
    statement.officer === officer &&
    statement.subject === approval.id &&
    statement.payloadSha256 === approval.payloadSha256
  )
}
