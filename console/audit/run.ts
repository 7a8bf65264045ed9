// `switchyard audit`: lists the log, signs checkpoints, verifies everything. Called by
// console/commands/audit.ts. Verifying needs no token when the public key is given; it changes
// nothing.

import { auditPublicKey } from '../../hsm/ceremony/token-calls.ts'
import { CheckpointFileFault, readCheckpoints } from '../../audit/checkpoint-file.ts'
import { keyFingerprint } from '../../audit/checkpoint.ts'
import type { Checkpoint } from '../../audit/checkpoint.ts'
import { replay } from '../../audit/replay.ts'
import { latestEvents, readDatabaseCheckpoints, readEvents, readHead } from '../../audit/store.ts'
import { readTables } from '../../audit/tables.ts'
import { verifyChain } from '../../audit/verify.ts'
import type { Finding } from '../../audit/verify.ts'
import { CommandFailed, WrongUsage } from '../help.ts'
import type { Desk } from '../keys/desk.ts'
import { printJson } from '../keys/officers.ts'
import { signIn } from '../keys/sign-in.ts'
import { table } from '../txn/table.ts'

export interface VerifyOptions {
  readonly json?: boolean
  readonly checkpoints?: string
  readonly publicKey?: string // 130 hex digits; without it the token is asked
  readonly expect?: string // SEQ:HASH
}

/** Verifies chain, checkpoints, file and tables. @throws CommandFailed when something was found */
export async function verifyAudit(desk: Desk, options: VerifyOptions): Promise<void> {
  const trustedKey = options.publicKey?.toLowerCase() ?? auditPublicKey(desk.session)
  const findings: Finding[] = []
  const file = fileCheckpoints(options.checkpoints ?? desk.checkpointPath, findings)
  await desk.sql.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  const events = await readEvents(desk.sql)
  const head = await readHead(desk.sql)
  const checkpoints = await readDatabaseCheckpoints(desk.sql)
  const tables = await readTables(desk.sql)
  await desk.sql.query('COMMIT')
  const expect = expected(options.expect)
  const chain = { events, head, checkpoints, fileCheckpoints: file, trustedKey }
  findings.push(...verifyChain(expect === null ? chain : { ...chain, expect }))
  findings.push(...replay(events, tables))
  const signed = checkpoints.at(-1)?.seq ?? 0
  const report = {
    ok: findings.length === 0,
    events: events.length,
    checkpoints: checkpoints.length,
    signed_up_to: signed,
    unsigned: Math.max(0, events.length - signed),
    head: head.hash,
    signing_key: trustedKey === null ? null : keyFingerprint(trustedKey),
    findings,
  }
  if (options.json === true) printJson(report)
  else process.stdout.write(rendered(report))
  if (!report.ok) {
    throw new CommandFailed(
      `${findings.length} findings in the audit log`, 'tell the auditor first',
    )
  }
}

function fileCheckpoints(path: string, findings: Finding[]): Checkpoint[] | null {
  try {
    return readCheckpoints(path)
  } catch (error) {
    if (!(error instanceof CheckpointFileFault)) throw error
    findings.push({ kind: 'checkpoint_missing', seq: 0, what: error.message })
    return []
  }
}

function expected(text: string | undefined): { seq: number; hash: string } | null {
  if (text === undefined) return null
  const match = /^([1-9][0-9]{0,14}):([0-9a-fA-F]{64})$/.exec(text)
  if (match === null) throw new WrongUsage('--expect is NUMBER:HASH as a transcript shows them')
  return { seq: Number(match[1]), hash: (match[2] ?? '').toLowerCase() }
}

function rendered(report: {
  ok: boolean
  events: number
  checkpoints: number
  signed_up_to: number
  unsigned: number
  head: string
  signing_key: string | null
  findings: readonly Finding[]
}): string {
  const head = [
    `events       ${report.events}`,
    `checkpoints  ${report.checkpoints}, the last over event ${report.signed_up_to}`,
    `unsigned     ${report.unsigned}`,
    `signing key  ${report.signing_key ?? 'none yet'}`,
    `last hash    ${report.head}`,
    report.ok ? 'the log is as it was written' : 'THE LOG IS NOT AS IT WAS WRITTEN',
    '',
  ].join('\n')
  if (report.ok) return head
  const rows = report.findings.slice(0, 100).map(({ kind, what }) => [kind, what])
  return `${head}\n${table(['finding', 'what'], rows)}`
}

/** Lists the latest events. */
export async function listAudit(
  desk: Desk,
  options: { last?: string; subject?: string; json?: boolean },
): Promise<void> {
  const last = Number(options.last ?? 20)
  if (!Number.isInteger(last) || last < 1 || last > 10_000) {
    throw new WrongUsage('--last is 1 to 10000')
  }
  const events = await latestEvents(desk.sql, last, options.subject ?? '')
  if (options.json === true) return printJson(events)
  const rows = events.map((event) => [
    String(event.seq),
    new Date(event.atMs).toISOString().slice(0, 19),
    event.actor,
    event.act,
    event.subject,
    event.hash.slice(0, 12),
  ])
  process.stdout.write(table(['event', 'time (UTC)', 'who', 'act', 'about', 'hash'], rows))
}

/** Signs a checkpoint now; an auditor asks for it. */
export async function checkpointNow(desk: Desk, options: { officer?: string }): Promise<void> {
  if (options.officer !== undefined) await signIn(desk, options.officer, 'auditor')
  const { seq, hash } = await desk.checkpoint()
  process.stdout.write(`signed up to event ${seq}\nhash ${hash}\nfile ${desk.checkpointPath}\n`)
}
