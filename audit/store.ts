// The audit chain in PostgreSQL: adding events, reading them, adding checkpoints. Called by
// hsm/officers, hsm/ceremony and the commands, always with a client of theirs, so that an event
// commits together with what it tells of. It must never change or delete anything.

import type { Client } from 'pg'

import { appendCheckpoints, readCheckpoints } from './checkpoint-file.ts'
import { checkpointHash, makeCheckpoint, signatureHolds } from './checkpoint.ts'
import type { Checkpoint, CheckpointSigner } from './checkpoint.ts'
import { FIRST_PREVIOUS } from './event.ts'
import type { AuditEvent } from './event.ts'

/** Events after the last checkpoint at which a command signs one without being asked. */
export const UNSEALED_EVENTS_MAX = 1_000

/** What an event says; number, time and hashes are the database's. */
export interface NewEvent {
  readonly actor: string
  readonly act: string
  readonly subject: string
  readonly detail: Readonly<Record<string, unknown>>
}

/** Adds an event in the transaction that `sql` is in. @returns its number and hash */
export async function appendEvent(
  sql: Client,
  event: NewEvent,
): Promise<{ seq: number; hash: string }> {
  const { rows } = await sql.query<{ seq: string; hash: string }>(
    `INSERT INTO audit_event (actor, act, subject, detail) VALUES ($1, $2, $3, $4)
     RETURNING seq::text, encode(hash, 'hex') AS hash`,
    [event.actor, event.act, event.subject, JSON.stringify(event.detail)],
  )
  return { seq: Number(rows[0]?.seq), hash: rows[0]?.hash ?? '' }
}

const EVENT_COLUMNS = `seq::text, at_ms::text, actor, act, subject, detail,
  encode(previous, 'hex') AS previous, encode(hash, 'hex') AS hash`

interface EventRow {
  seq: string
  at_ms: string
  actor: string
  act: string
  subject: string
  detail: string
  previous: string
  hash: string
}

/** Events from `after` on, in order, at most `limit`. */
export async function readEvents(
  sql: Client,
  after = 0,
  limit = Number.MAX_SAFE_INTEGER,
): Promise<AuditEvent[]> {
  const { rows } = await sql.query<EventRow>(
    `SELECT ${EVENT_COLUMNS} FROM audit_event WHERE seq > $1 ORDER BY audit_event.seq LIMIT $2`,
    [after, limit],
  )
  return rows.map(eventOf)
}

/** The last `limit` events about a subject (all subjects when empty), oldest first. */
export async function latestEvents(
  sql: Client,
  limit: number,
  subject = '',
): Promise<AuditEvent[]> {
  const { rows } = await sql.query<EventRow>(
    `SELECT ${EVENT_COLUMNS} FROM audit_event WHERE $2 = '' OR subject = $2
     ORDER BY audit_event.seq DESC LIMIT $1`,
    [limit, subject],
  )
  return rows.map(eventOf).reverse()
}

function eventOf(row: EventRow): AuditEvent {
  const { actor, act, subject, detail, previous, hash } = row
  return {
    seq: Number(row.seq),
    atMs: Number(row.at_ms),
    actor,
    act,
    subject,
    detail,
    previous,
    hash,
  }
}

/** What the head row says. */
export async function readHead(sql: Client): Promise<{ seq: number; hash: string }> {
  const { rows } = await sql.query<{ seq: string; hash: string }>(
    `SELECT seq::text, encode(hash, 'hex') AS hash FROM audit_head`,
  )
  return { seq: Number(rows[0]?.seq ?? 0), hash: rows[0]?.hash ?? '' }
}

/** Checkpoints of the database in order. */
export async function readDatabaseCheckpoints(sql: Client): Promise<Checkpoint[]> {
  const { rows } = await sql.query<{ seq: string; at_ms: string } & Record<string, string>>(
    `SELECT seq::text, at_ms::text, encode(hash, 'hex') AS hash,
       encode(previous, 'hex') AS previous, encode(public_key, 'hex') AS public_key,
       encode(signature, 'hex') AS signature
     FROM audit_checkpoint ORDER BY audit_checkpoint.seq`,
  )
  return rows.map((row) => ({
    seq: Number(row.seq),
    hash: row['hash'] ?? '',
    atMs: Number(row.at_ms),
    previous: row['previous'] ?? '',
    publicKey: row['public_key'] ?? '',
    signature: row['signature'] ?? '',
  }))
}

/**
 * Signs a checkpoint over the last event, into the database and then the file; a file that a
 * killed command left behind gets what it lacks. Outside any transaction of the caller.
 *
 * @returns the checkpoint, or null when the last event has one already
 */
export async function addCheckpoint(
  sql: Client,
  signer: CheckpointSigner,
  path: string,
  atMs: number,
): Promise<Checkpoint | null> {
  await sql.query('BEGIN')
  let added: Checkpoint | null = null
  let points: Checkpoint[]
  try {
    await sql.query('SELECT 1 FROM audit_head FOR UPDATE') // one checkpoint at a time
    const head = await readHead(sql)
    points = await readDatabaseCheckpoints(sql)
    const last = points.at(-1)
    if (head.seq > (last?.seq ?? 0)) {
      const previous = last === undefined ? FIRST_PREVIOUS : checkpointHash(last)
      added = makeCheckpoint(signer, head, previous, atMs)
      await insertCheckpoint(sql, added)
      points.push(added)
    }
    await sql.query('COMMIT')
  } catch (error) {
    await sql.query('ROLLBACK')
    throw error
  }
  const known = new Set((readCheckpoints(path) ?? []).map(checkpointHash))
  const lacking = points.filter((point) => !known.has(checkpointHash(point)))
  appendCheckpoints(path, lacking.filter(signatureHolds))
  return added
}

async function insertCheckpoint(sql: Client, point: Checkpoint): Promise<void> {
  await sql.query(
    `INSERT INTO audit_checkpoint (seq, hash, at_ms, previous, public_key, signature)
     VALUES ($1, decode($2, 'hex'), $3, decode($4, 'hex'), decode($5, 'hex'), decode($6, 'hex'))`,
    [point.seq, point.hash, point.atMs, point.previous, point.publicKey, point.signature],
  )
}
