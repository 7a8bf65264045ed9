// `switchyard keys officers` and `approvals`: who may act, and what waits for a second officer.
// Called by console/commands/keys.ts.

import { approvalOf, approvals, decide } from '../../hsm/officers/approvals.ts'
import {
  addOfficer,
  additionPayload,
  FOUNDING_OFFICERS,
  foundOfficer,
  officers,
  removeOfficer,
  ROLES,
} from '../../hsm/officers/register.ts'
import type { Role } from '../../hsm/officers/register.ts'
import { CommandFailed, WrongUsage } from '../help.ts'
import { table } from '../txn/table.ts'
import type { Desk } from './desk.ts'
import { bothOfficers, decideAt, newcomer, officerFile, signIn } from './sign-in.ts'
import type { TwoOfficers } from './sign-in.ts'

export interface AddOptions extends TwoOfficers {
  readonly role?: string
}

/** Adds an officer: one of the first two by themselves, any later one by two officers. */
export async function addAnOfficer(desk: Desk, word: string, options: AddOptions): Promise<void> {
  const { name, path } = officerFile(desk, word)
  const known = await officers(desk.sql)
  if (known.some((officer) => officer.name === name)) {
    throw new CommandFailed(`there is or was an officer '${name}'`, 'names are not used again')
  }
  if (known.length < FOUNDING_OFFICERS) {
    if (options.role !== undefined) {
      throw new WrongUsage('the first two officers are custodian and approver; leave --role out')
    }
    await foundOfficer(desk.sql, await newcomer(desk, word))
    const more = known.length + 1 < FOUNDING_OFFICERS
    process.stdout.write(
      `officer ${name} added: custodian and approver\nkey file ${path}\n` +
        (more
          ? 'next: a second person adds themselves in the same way\n'
          : 'from now on every change needs two officers\n'),
    )
    return
  }
  const roles = rolesOf(options.role)
  desk.terminal.say(`${name} comes first and proves to hold the key file.\n`)
  const signer = await newcomer(desk, word)
  const payload = additionPayload(name, roles, signer.publicKey)
  const approved = await bothOfficers(desk, options, { ...payload })
  if (approved === null) return
  await addOfficer(desk.sql, signer, roles, approved)
  process.stdout.write(`officer ${name} added: ${roles.join(' and ')}\nkey file ${path}\n`)
}

function rolesOf(words: string | undefined): Role[] {
  const roles = (words ?? '').split(',').filter((word) => word !== '')
  const known = roles.filter((word): word is Role => ROLES.some((role) => role === word))
  if (known.length === 0 || known.length !== roles.length) {
    throw new WrongUsage(`--role is one of ${ROLES.join(' ')}, or custodian,approver`)
  }
  if (known.includes('auditor') && known.length > 1) {
    throw new WrongUsage('an auditor has no other role: who checks does not act')
  }
  return [...new Set(known)].sort()
}

/** Removes an officer; two others, or the one who goes and another, agree. */
export async function removeAnOfficer(
  desk: Desk,
  name: string,
  options: TwoOfficers,
): Promise<void> {
  const approved = await bothOfficers(desk, options, { command: 'officers.remove', name })
  if (approved === null) return
  await removeOfficer(desk.sql, name, approved)
  process.stdout.write(`officer ${name} removed; their key file opens nothing any more\n`)
}

/** Lists officers with their roles. */
export async function listOfficers(desk: Desk, json: boolean): Promise<void> {
  const known = await officers(desk.sql)
  if (json) return printJson(known)
  if (known.length === 0) {
    process.stdout.write('no officers yet; see: switchyard keys officers add --help\n')
    return
  }
  const rows = known.map(({ name, roles, publicKey, addedAt, removedAt }) => [
    name,
    roles.join(', '),
    publicKey.slice(0, 16),
    day(addedAt),
    removedAt === null ? '' : day(removedAt),
  ])
  process.stdout.write(table(['officer', 'roles', 'public key', 'added', 'removed'], rows))
}

/** Lists approvals that wait or may be used; all of them when asked. */
export async function listApprovals(desk: Desk, all: boolean, json: boolean): Promise<void> {
  const known = await approvals(desk.sql, all)
  if (json) {
    return printJson(
      known.map(({ id, command, payload, payloadSha256, proposer, decider, state, ...rest }) => ({
        ...{ id, command, payload, payloadSha256, proposer, decider, state },
        ...{ expired: rest.expired, expiresAt: rest.expiresAt },
      })),
    )
  }
  if (known.length === 0) {
    process.stdout.write('nothing waits for an officer\n')
    return
  }
  const rows = known.map((one) => [
    one.id,
    one.expired && one.state !== 'used' && one.state !== 'rejected' ? 'expired' : one.state,
    one.proposer,
    one.decider ?? '',
    one.expiresAt.toISOString().slice(11, 19),
    one.command,
    subjectOf(one.payload),
  ])
  process.stdout.write(
    table(['approval', 'state', 'proposer', 'decider', 'until', 'command', 'about'], rows),
  )
}

/** Shows one approval to an approver and takes the decision. */
export async function decideApproval(
  desk: Desk,
  id: string,
  decision: 'approve' | 'reject',
  options: { officer?: string },
): Promise<void> {
  if (options.officer === undefined) throw new WrongUsage('who decides? add --officer NAME')
  const approver = await signIn(desk, options.officer, 'approver')
  if (decision === 'approve') await decideAt(desk, approver, id)
  else await decide(desk.sql, approver, id, 'rejected')
  const { state, proposer } = await approvalOf(desk.sql, id)
  const next = state === 'approved' ? `; ${proposer} repeats the command with --approval ${id}` : ''
  process.stdout.write(`${id} is ${state}${next}\n`)
}

/** Prints a value as JSON. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

function subjectOf(payload: string): string {
  const { name } = JSON.parse(payload) as { name?: unknown }
  return typeof name === 'string' ? name : ''
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}
