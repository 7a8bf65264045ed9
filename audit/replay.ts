// Plays the audit log again: who was an officer when, what was proposed, approved and used, which
// keys came of it. Finds acts without two officers, wrong signatures, and a table of the database
// that is not what the log makes of it. PURE. Called by `switchyard audit verify`.
// It decides by itself and shares no code with hsm/officers, which did the acts.

import { sha256Hex } from './event.ts'
import type { AuditEvent } from './event.ts'
import { isSignedBy, parseStatement } from './statement.ts'
import type { StatementAct } from './statement.ts'
import type { Finding } from './verify.ts'

/** An approval holds for 15 minutes; the events' own times may be a second behind the rows'. */
const APPROVAL_MS_MAX = 15 * 60_000 + 1_000

/** Tables as one text a row, by what the row is about. */
export interface TableState {
  readonly officers: ReadonlyMap<string, string>
  readonly approvals: ReadonlyMap<string, string>
  readonly keys: ReadonlyMap<string, string>
  readonly parts: ReadonlyMap<string, string>
}

interface OfficerState {
  readonly publicKey: string
  readonly roles: readonly string[]
  removed: boolean
}

interface ApprovalStateNow {
  readonly command: string
  readonly payload: string
  readonly proposer: string
  readonly atMs: number
  decider: string
  state: string
}

interface KeyState {
  readonly text: string
  state: string
}

type Detail = Readonly<Record<string, unknown>>

class Replay {
  readonly findings: Finding[] = []
  readonly officers = new Map<string, OfficerState>()
  readonly approvals = new Map<string, ApprovalStateNow>()
  readonly keys = new Map<string, KeyState>()
  readonly parts = new Map<string, string>()
  readonly #signatures = new Set<string>()

  play(event: AuditEvent): void {
    const detail = parsed(event.detail)
    if (detail === null) return this.#add(event, 'its detail is no JSON object')
    switch (event.act) {
      case 'officer.founded':
      case 'officer.added':
        return this.#joined(event, detail)
      case 'officer.removed':
        return this.#removed(event, detail)
      case 'approval.proposed':
        return this.#proposed(event, detail)
      case 'approval.approved':
      case 'approval.rejected':
        return this.#decided(event, detail)
      case 'approval.used':
        return this.#used(event)
      case 'key.added':
      case 'key.changed':
      case 'key.exported':
        return this.#key(event, detail)
      case 'ceremony.part':
        return this.#part(event, detail)
      default: // talk: log-ins that failed, checkpoints asked for, abandoned ceremonies
    }
  }

  #joined(event: AuditEvent, detail: Detail): void {
    const [name, publicKey] = [event.subject, textOf(detail['public_key'])]
    const roles = Array.isArray(detail['roles']) ? detail['roles'].map(textOf) : []
    const payload = JSON.stringify({ command: 'officers.add', name, public_key: publicKey, roles })
    this.#signed(event, detail, publicKey, 'join', name, name, sha256Hex(payload))
    if (this.officers.has(name)) this.#add(event, `officer ${name} was there already`)
    if (event.act === 'officer.founded') {
      if (this.officers.size >= 2) this.#add(event, 'a third officer came without an approval')
    } else if (this.#approvalFor(event, detail, /^officers\.add$/)?.payload !== payload) {
      this.#add(event, 'the officer is not the one that was approved')
    }
    this.officers.set(name, { publicKey, roles, removed: false })
  }

  #removed(event: AuditEvent, detail: Detail): void {
    const approval = this.#approvalFor(event, detail, /^officers\.remove$/)
    if (approval !== null && parsed(approval.payload)?.['name'] !== event.subject) {
      this.#add(event, 'the officer is not the one that was approved')
    }
    const officer = this.officers.get(event.subject)
    if (officer === undefined || officer.removed) this.#add(event, 'there was no such officer')
    else officer.removed = true
  }

  #proposed(event: AuditEvent, detail: Detail): void {
    const payload = textOf(detail['payload'])
    const key = this.#holder(event, 'custodian')
    this.#signed(event, detail, key, 'propose', event.actor, event.subject, sha256Hex(payload))
    if (this.approvals.has(event.subject)) this.#add(event, 'an approval of this name was there')
    this.approvals.set(event.subject, {
      command: textOf(detail['command']),
      payload,
      proposer: event.actor,
      atMs: event.atMs,
      decider: '',
      state: 'proposed',
    })
  }

  #decided(event: AuditEvent, detail: Detail): void {
    const approval = this.approvals.get(event.subject)
    if (approval === undefined) return this.#add(event, 'a decision about nothing')
    const act = event.act === 'approval.approved' ? 'approve' : 'reject'
    const key = this.#holder(event, 'approver')
    this.#signed(event, detail, key, act, event.actor, event.subject, sha256Hex(approval.payload))
    if (approval.proposer === event.actor) this.#add(event, 'one officer proposed and decided')
    if (approval.state !== 'proposed') this.#add(event, `the approval was ${approval.state}`)
    this.#inTime(event, approval)
    approval.decider = event.actor
    approval.state = act === 'approve' ? 'approved' : 'rejected'
  }

  #used(event: AuditEvent): void {
    const approval = this.approvals.get(event.subject)
    if (approval === undefined) return this.#add(event, 'an approval that was never proposed')
    if (approval.state !== 'approved') this.#add(event, `used while it was ${approval.state}`)
    this.#inTime(event, approval)
    approval.state = 'used'
  }

  #key(event: AuditEvent, detail: Detail): void {
    const approval = this.#approvalFor(event, detail, /^keys\./)
    if (approval !== null && parsed(approval.payload)?.['name'] !== event.subject) {
      this.#add(event, 'the key is not the one that was approved')
    }
    if (event.act === 'key.exported') return
    const row = `${event.subject}#${String(detail['generation'])}`
    if (event.act === 'key.added') {
      this.keys.set(row, { text: keyText(detail), state: 'active' })
      return
    }
    const known = this.keys.get(row)
    if (known === undefined) this.#add(event, 'a key that never came changed')
    else known.state = textOf(detail['state'])
  }

  #part(event: AuditEvent, detail: Detail): void {
    const approval = this.#approvalFor(event, detail, /^keys\.ceremony$/)
    const id = textOf(detail['approval'])
    const key = this.#holder(event, 'custodian')
    const subject = `${id}#${String(detail['part'])}`
    const hash = sha256Hex(approval?.payload ?? '')
    this.#signed(event, detail, key, 'bring_component', event.actor, subject, hash)
    for (const [other, officer] of this.parts) {
      if (other.startsWith(`${id}#`) && officer === event.actor) {
        this.#add(event, 'one officer brought two components')
      }
    }
    this.parts.set(subject, event.actor)
  }

  #approvalFor(event: AuditEvent, detail: Detail, commands: RegExp): ApprovalStateNow | null {
    const approval = this.approvals.get(textOf(detail['approval'])) ?? null
    if (approval === null || approval.state !== 'used' || !commands.test(approval.command)) {
      this.#add(event, 'done without the approval of two officers')
    }
    return approval
  }

  #holder(event: AuditEvent, role: string): string {
    const officer = this.officers.get(event.actor)
    if (officer === undefined || officer.removed || !officer.roles.includes(role)) {
      this.#add(event, `${event.actor} was no ${role} then`)
    }
    return officer?.publicKey ?? ''
  }

  #inTime(event: AuditEvent, approval: ApprovalStateNow): void {
    if (event.atMs - approval.atMs <= APPROVAL_MS_MAX && event.atMs >= approval.atMs - 1_000) return
    this.#add(event, 'the approval had expired')
  }

  #signed(
    event: AuditEvent,
    detail: Detail,
    key: string,
    act: StatementAct,
    officer: string,
    subject: string,
    payloadSha256: string,
  ): void {
    const [text, signature] = [textOf(detail['statement']), textOf(detail['signature'])]
    const said = parseStatement(text)
    const fits =
      said !== null &&
      said.act === act &&
      said.officer === officer &&
      said.subject === subject &&
      said.payloadSha256 === payloadSha256
    if (!fits || !isSignedBy(key, text, signature)) {
      this.#add(event, `the signature of ${officer} is not over this act`)
    }
    if (this.#signatures.has(signature)) this.#add(event, 'a signature was used twice')
    this.#signatures.add(signature)
  }

  #add(event: AuditEvent, what: string): void {
    this.findings.push({ kind: 'state', seq: event.seq, what: `event ${event.seq}: ${what}` })
  }
}

/** Plays the events; `tables` are compared with what they make. */
export function replay(events: readonly AuditEvent[], tables: TableState): Finding[] {
  const state = new Replay()
  for (const event of events) state.play(event)
  const made: TableState = {
    officers: mapped(state.officers, (o) => officerText(o.publicKey, o.roles, o.removed)),
    approvals: mapped(state.approvals, (a) =>
      approvalText(a.command, a.payload, a.proposer, a.decider, a.state),
    ),
    keys: mapped(state.keys, (key) => `${key.text} ${key.state}`),
    parts: state.parts,
  }
  const findings = state.findings
  for (const table of ['officers', 'approvals', 'keys', 'parts'] as const) {
    for (const [row, text] of tables[table]) {
      const logged = made[table].get(row)
      if (logged === text) continue
      const what = logged === undefined ? 'is not in the log' : 'is not as the log has it'
      findings.push({ kind: 'state', seq: 0, what: `${table}: row '${row}' ${what}` })
    }
    for (const row of made[table].keys()) {
      if (tables[table].has(row)) continue
      const what = `${table}: row '${row}' of the log is gone from the database`
      findings.push({ kind: 'state', seq: 0, what })
    }
  }
  return findings
}

/** One officer's row as a text. */
export function officerText(key: string, roles: readonly string[], removed: boolean): string {
  return `${key} ${[...roles].sort().join(',')} ${removed ? 'removed' : 'active'}`
}

/** One approval's row as a text. */
export function approvalText(
  command: string,
  payload: string,
  proposer: string,
  decider: string,
  state: string,
): string {
  return [command, payload, proposer, decider, state].join(' ')
}

/** One key's row as a text, without its state. */
export function keyText(row: Readonly<Record<string, unknown>>): string {
  const fields = ['usage', 'kind', 'kcv', 'place', 'origin', 'exportable']
  return fields.map((field) => String(row[field])).join(' ')
}

function mapped<T>(from: ReadonlyMap<string, T>, text: (value: T) => string): Map<string, string> {
  return new Map([...from].map(([name, value]) => [name, text(value)]))
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function parsed(text: string): Detail | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Detail) : null
  } catch {
    return null
  }
}
