// Verifies an audit chain with its checkpoints: finds every edit, deletion, swap, insertion and
// truncation up to the last checkpoint. PURE. Called by `switchyard audit verify` and by tests.
//
//   event 1 <- event 2 <- ... <- event n        each names the hash of the one before
//                 ^                  ^
//            checkpoint 1  <-   checkpoint 2    each signed by the token, each names the one before
//
// The same checkpoints stand in the database and in a file outside it. Somebody who can write both
// but not sign can take both back to an older state: `expect` (a checkpoint noted elsewhere, as on
// a ceremony's transcript) finds that.

import { checkpointHash, signatureHolds } from './checkpoint.ts'
import type { Checkpoint } from './checkpoint.ts'
import { eventHash, FIRST_PREVIOUS } from './event.ts'
import type { AuditEvent } from './event.ts'

export type FindingKind =
  | 'gap'
  | 'link'
  | 'hash'
  | 'head'
  | 'truncated'
  | 'checkpoint_link'
  | 'checkpoint_hash'
  | 'checkpoint_signature'
  | 'checkpoint_key'
  | 'checkpoint_missing'
  | 'file_missing'
  | 'not_expected'
  | 'state'

/** One thing that is not as it was written. */
export interface Finding {
  readonly kind: FindingKind
  readonly seq: number // the event or checkpoint that shows it, 0 when none does
  readonly what: string
}

export interface ChainInput {
  readonly events: readonly AuditEvent[]
  readonly head: { readonly seq: number; readonly hash: string }
  readonly checkpoints: readonly Checkpoint[]
  /** Those of the file outside the database; null when there is no file. */
  readonly fileCheckpoints: readonly Checkpoint[] | null
  /** Public key of the token's signing key, hex; null takes the first checkpoint's own. */
  readonly trustedKey: string | null
  /** A checkpoint noted elsewhere that must be part of this chain. */
  readonly expect?: { readonly seq: number; readonly hash: string }
}

/** All findings in order; none means that the chain is as it was written. */
export function verifyChain(
  input: ChainInput,
  holds: (point: Checkpoint) => boolean = signatureHolds,
): Finding[] {
  const findings: Finding[] = []
  eventFindings(input, findings)
  checkpointFindings(input, findings, holds)
  fileFindings(input, findings)
  const { expect } = input
  if (expect !== undefined && input.events[expect.seq - 1]?.hash !== expect.hash) {
    const what = `event ${expect.seq} does not have the hash that was noted elsewhere`
    findings.push({ kind: 'not_expected', seq: expect.seq, what })
  }
  return findings
}

function eventFindings(input: ChainInput, findings: Finding[]): void {
  let previous = FIRST_PREVIOUS
  let seq = 0
  for (const event of input.events) {
    seq += 1
    if (event.seq !== seq) {
      const what = `event ${seq} was expected here, ${event.seq} was found`
      findings.push({ kind: 'gap', seq: event.seq, what })
      seq = event.seq
    }
    if (event.previous !== previous) {
      findings.push({ kind: 'link', seq, what: `event ${seq} does not follow the one before it` })
    }
    if (eventHash(event) !== event.hash) {
      findings.push({ kind: 'hash', seq, what: `event ${seq} was changed after it was written` })
    }
    previous = event.hash
  }
  if (input.head.seq !== seq || input.head.hash !== previous) {
    const what = `the chain ends at ${seq}, its head says ${input.head.seq}`
    findings.push({ kind: 'head', seq, what })
  }
}

function checkpointFindings(
  input: ChainInput,
  findings: Finding[],
  holds: (point: Checkpoint) => boolean,
): void {
  const trusted = input.trustedKey ?? input.checkpoints[0]?.publicKey ?? ''
  const last = input.events.at(-1)?.seq ?? 0
  let previous = FIRST_PREVIOUS
  let before = 0
  for (const point of input.checkpoints) {
    const { seq } = point
    const add = (kind: FindingKind, what: string): void => void findings.push({ kind, seq, what })
    if (point.previous !== previous || seq <= before) {
      add('checkpoint_link', `checkpoint ${seq} does not follow the one before it`)
    }
    if (seq > last) add('truncated', `events up to ${seq} were signed, the chain ends at ${last}`)
    else if (input.events[seq - 1]?.hash !== point.hash) {
      add('checkpoint_hash', `event ${seq} is not the one that was signed`)
    }
    if (point.publicKey !== trusted) add('checkpoint_key', `checkpoint ${seq} has another key`)
    if (!holds(point)) add('checkpoint_signature', `the signature of checkpoint ${seq} is wrong`)
    previous = checkpointHash(point)
    before = seq
  }
}

function fileFindings(input: ChainInput, findings: Finding[]): void {
  const file = input.fileCheckpoints
  if (file === null) {
    if (input.checkpoints.length === 0) return
    const what = 'the file with the checkpoints outside the database is not there'
    findings.push({ kind: 'file_missing', seq: 0, what })
    return
  }
  const inFile = new Set(file.map(checkpointHash))
  const inDatabase = new Set(input.checkpoints.map(checkpointHash))
  for (const point of file) {
    if (inDatabase.has(checkpointHash(point))) continue
    const what = `checkpoint ${point.seq} stands in the file, not in the database`
    findings.push({ kind: 'checkpoint_missing', seq: point.seq, what })
  }
  for (const point of input.checkpoints) {
    if (inFile.has(checkpointHash(point))) continue
    const what = `checkpoint ${point.seq} stands in the database, not in the file`
    findings.push({ kind: 'checkpoint_missing', seq: point.seq, what })
  }
  if (file.length !== input.checkpoints.length && inFile.size === inDatabase.size) {
    const what = 'a checkpoint stands in the file twice'
    findings.push({ kind: 'checkpoint_link', seq: 0, what })
  }
}
