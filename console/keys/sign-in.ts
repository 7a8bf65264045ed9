// Officers at the terminal: signing in with a key file and a passphrase, and the two of them acting
// together on one command. Used by the verbs of `switchyard keys`.

import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { appendEvent } from '../../audit/store.ts'
import { wipe } from '../../hsm/algorithms/bytes.ts'
import {
  approvalOf,
  decide,
  demandApproved,
  payloadHash,
  payloadText,
  propose,
} from '../../hsm/officers/approvals.ts'
import type { ApprovedCommand, Payload } from '../../hsm/officers/approvals.ts'
import {
  createKeyFile,
  KeyFileFault,
  openKeyFile,
  PASSPHRASE_BYTES_MIN,
  readKeyFile,
} from '../../hsm/officers/key-file.ts'
import type { OfficerKey } from '../../hsm/officers/key-file.ts'
import { authenticate } from '../../hsm/officers/register.ts'
import type { Role } from '../../hsm/officers/register.ts'
import { signerOf } from '../../hsm/officers/signer.ts'
import type { Signer } from '../../hsm/officers/signer.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { systemRandom } from '../../switch/runtime/random.ts'
import { CommandFailed, WrongUsage } from '../help.ts'
import type { Desk } from './desk.ts'

const PASSPHRASE_TRIES = 3

/** What every sensitive verb takes on its command line. */
export interface TwoOfficers {
  readonly officer?: string // NAME or NAME=KEYFILE
  readonly with?: string
  readonly approval?: string
  readonly dryRun?: boolean
}

/** Name and key file of `NAME` or `NAME=FILE`; the file defaults to <home>/officers/NAME.json. */
export function officerFile(desk: Desk, word: string): { name: string; path: string } {
  const cut = word.indexOf('=')
  const name = cut < 0 ? word : word.slice(0, cut)
  if (!/^[a-z][a-z0-9._-]{0,31}$/.test(name)) {
    throw new WrongUsage(`'${name}' is no officer's name: small letters, digits, . _ -, up to 32`)
  }
  const path = cut < 0 ? join(desk.place.home, 'officers', `${name}.json`) : word.slice(cut + 1)
  return { name, path }
}

/** Asks an officer for the passphrase and proves who they are. Failed attempts are logged. */
export async function signIn(desk: Desk, word: string, role: Role): Promise<Signer> {
  const { name, path } = officerFile(desk, word)
  readKeyFile(path) // says what is wrong with the file before a passphrase is asked
  for (let tried = 1; ; tried++) {
    const passphrase = await desk.terminal.askHidden(`Passphrase of ${name}: `)
    try {
      const key = openKeyFile(path, passphrase)
      if (key.name !== name) throw new CommandFailed(`${path} is the key file of ${key.name}`)
      const signer = signerOf(key, systemClock, systemRandom)
      await authenticate(desk.sql, signer, role)
      return signer
    } catch (error) {
      if (!(error instanceof KeyFileFault) || error.kind !== 'passphrase') throw error
      await appendEvent(desk.sql, {
        actor: 'system',
        act: 'officer.login_failed',
        subject: name,
        detail: { tried },
      })
      if (tried >= PASSPHRASE_TRIES) throw error
      desk.terminal.say('That is not the passphrase. Once more:\n')
    } finally {
      wipe(passphrase)
    }
  }
}

/** Opens a newcomer's key file, or makes it with a new passphrase. */
export async function newcomer(desk: Desk, word: string): Promise<Signer> {
  const { name, path } = officerFile(desk, word)
  const key = existsSync(path)
    ? await opened(desk, name, path)
    : await created(desk, name, path)
  if (key.name !== name) throw new CommandFailed(`${path} is the key file of ${key.name}`)
  return signerOf(key, systemClock, systemRandom)
}

async function opened(desk: Desk, name: string, path: string): Promise<OfficerKey> {
  const passphrase = await desk.terminal.askHidden(`Passphrase of ${name}: `)
  try {
    return openKeyFile(path, passphrase)
  } finally {
    wipe(passphrase)
  }
}

async function created(desk: Desk, name: string, path: string): Promise<OfficerKey> {
  const { terminal } = desk
  terminal.say(`A new key file for ${name}: ${path}\nNothing is shown while you type.\n`)
  for (;;) {
    const first = await terminal.askHidden(`New passphrase of ${name}: `)
    const again = await terminal.askHidden('The same again: ')
    try {
      if (first.length < PASSPHRASE_BYTES_MIN) {
        terminal.say(`A passphrase has at least ${PASSPHRASE_BYTES_MIN} characters.\n`)
      } else if (Buffer.compare(first, again) !== 0) {
        terminal.say('The two are not the same.\n')
      } else {
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
        return createKeyFile(path, name, first, systemRandom)
      }
    } finally {
      wipe(first, again)
    }
  }
}

/**
 * Gets one command approved: proposes it, or takes an approval given before, or has both officers
 * at this terminal one after the other.
 *
 * @returns what may be done now, or null when it was only proposed (or a dry run)
 */
export async function bothOfficers(
  desk: Desk,
  options: TwoOfficers,
  payload: Payload,
): Promise<ApprovedCommand | null> {
  const text = payloadText(payload)
  if (options.dryRun === true) {
    process.stdout.write(`would propose ${text}\nSHA-256 ${payloadHash(text)}\nnothing changed\n`)
    return null
  }
  if (options.officer === undefined) {
    throw new WrongUsage(
      'who asks for this? add --officer NAME (and --with NAME, or --approval ID)',
    )
  }
  const { name } = officerFile(desk, options.officer)
  if (options.with !== undefined && officerFile(desk, options.with).name === name) {
    throw new CommandFailed(`${name} cannot do this alone`, 'the second officer is another person')
  }
  const proposer = await signIn(desk, options.officer, 'custodian')
  if (options.approval !== undefined) {
    return demandApproved(desk.sql, options.approval, proposer.name, payload)
  }
  const id = await propose(desk.sql, proposer, payload, systemRandom)
  if (options.with === undefined) {
    process.stdout.write(proposedText(id, text))
    return null
  }
  await approveHere(desk, options.with, id)
  return demandApproved(desk.sql, id, proposer.name, payload)
}

/** The second officer reads the exact payload and says `approve`. */
async function approveHere(desk: Desk, word: string, id: string): Promise<void> {
  const approver = await signIn(desk, word, 'approver')
  await decideAt(desk, approver, id)
  const { state } = await approvalOf(desk.sql, id)
  if (state !== 'approved') throw new CommandFailed(`${approver.name} rejected ${id}`)
}

/** Shows an approval and takes the decision that is typed. */
export async function decideAt(desk: Desk, approver: Signer, id: string): Promise<void> {
  const approval = await approvalOf(desk.sql, id)
  desk.terminal.say(
    `\n${approval.proposer} proposes:\n${payloadLines(approval.payload)}` +
      `  SHA-256 of the exact text  ${approval.payloadSha256}\n\n`,
  )
  for (;;) {
    const word = await desk.terminal.ask(`${approver.name}, type approve or reject: `)
    if (word !== 'approve' && word !== 'reject') continue
    await decide(desk.sql, approver, id, word === 'approve' ? 'approved' : 'rejected')
    return
  }
}

/** A payload for people: one field a line. What is hashed is the one line of JSON. */
function payloadLines(text: string): string {
  const fields = Object.entries(JSON.parse(text) as Record<string, unknown>)
  const width = Math.max(...fields.map(([field]) => field.length))
  const shown = (value: unknown): string =>
    typeof value === 'string' ? value : JSON.stringify(value)
  return fields.map(([field, value]) => `  ${field.padEnd(width)}  ${shown(value)}\n`).join('')
}

function proposedText(id: string, text: string): string {
  return [
    `proposed as ${id}, for 15 minutes:`,
    `  ${text}`,
    `  SHA-256 ${payloadHash(text)}`,
    'next:',
    `  another officer runs   switchyard keys approvals approve ${id} --officer NAME`,
    `  then you repeat this command with   --approval ${id}`,
    '',
  ].join('\n')
}
