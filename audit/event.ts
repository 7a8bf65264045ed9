// One link of the audit chain: its fields, the bytes that are hashed, the hash. PURE. Used by
// audit/verify.ts, audit/store.ts and the commands. The database computes the same hash by itself
// (migration 0006-audit.sql); the two must never share code, so that each checks the other.
// A detail is JSON without secrets: no key, component, PIN or passphrase ever stands in it.

import { hash } from 'node:crypto'

/** An event as it stands in the database. Hashes are lower-case hex. */
export interface AuditEvent {
  readonly seq: number // from 1, without gaps
  readonly atMs: number // epoch milliseconds, by the database's clock
  readonly actor: string // an officer, or `system`
  readonly act: string // noun.verb_past
  readonly subject: string
  readonly detail: string // JSON in one line
  readonly previous: string
  readonly hash: string
}

/** What stands before the first event. */
export const FIRST_PREVIOUS = '00'.repeat(32)

/** The hash an event must have, from its own fields. */
export function eventHash(event: Omit<AuditEvent, 'hash'>): string {
  const { seq, atMs, actor, act, subject, detail, previous } = event
  const lines = ['switchyard audit 1', seq, atMs, actor, act, subject, detail, previous]
  return sha256Hex(lines.map((line) => `${line}\n`).join(''))
}

/** SHA-256 of a text in UTF-8, lower-case hex. */
export function sha256Hex(text: string): string {
  return hash('sha256', text)
}
