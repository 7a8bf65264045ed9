// `switchyard keys ceremony`: a key out of components that different officers hold. Called by
// console/commands/keys.ts and by the rehearsal. Components are typed without echo, become
// sensitive objects of the token at once, and are nowhere else; until both officers are content
// nothing is kept. It must never print, log or store a component.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { appendEvent } from '../../audit/store.ts'
import { wipe } from '../../hsm/algorithms/bytes.ts'
import { KINDS, USAGES } from '../../hsm/ceremony/key-plan.ts'
import type { KeyKind, OfficerUsage } from '../../hsm/ceremony/key-plan.ts'
import { combinesInToken, StagedKey } from '../../hsm/ceremony/staged-key.ts'
import { auditSigner } from '../../hsm/ceremony/token-calls.ts'
import type { ApprovedCommand } from '../../hsm/officers/approvals.ts'
import type { Signed } from '../../hsm/officers/signer.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { CommandFailed, WrongUsage } from '../help.ts'
import type { Desk } from './desk.ts'
import { readHexBytes } from './hex-entry.ts'
import { wantedKey } from './make.ts'
import type { KeyOptions } from './make.ts'
import { bothOfficers, officerFile, signIn } from './sign-in.ts'
import { demandActive, demandFree, keepInToken } from './store-key.ts'

export interface CeremonyOptions extends KeyOptions {
  readonly components?: string
  readonly replace?: boolean
  readonly transcript?: string
}

/** Components of one key: fewer than two is no split knowledge, more than five nobody assembles. */
const COMPONENTS_MIN = 2
const COMPONENTS_MAX = 5
const ENTRY_TRIES = 3

interface Part {
  readonly officer: string
  readonly signed: Signed
}

interface Plan {
  readonly name: string
  readonly usage: OfficerUsage
  readonly kind: KeyKind
  readonly components: number
}

/** Runs a ceremony from the proposal to the transcript. */
export async function ceremony(desk: Desk, name: string, options: CeremonyOptions): Promise<void> {
  const plan = planOf(name, options)
  const combined = desk.combinePlace(combinesInToken(desk.session))
  if (options.replace === true) await demandActive(desk, name)
  else await demandFree(desk, name)
  const { usage, kind, components } = plan
  const replace = options.replace === true
  const payload = { command: 'keys.ceremony', name, usage, kind, components, combined, replace }
  const approved = await bothOfficers(desk, options, payload)
  if (approved === null) return
  await appendEvent(desk.sql, {
    actor: approved.proposer,
    act: 'ceremony.started',
    subject: name,
    detail: { approval: approved.id, components, combined },
  })
  const staged = new StagedKey(desk.session, usage, kind, combined)
  let kcv: string
  let parts: Part[]
  try {
    parts = await collectParts(desk, plan, staged, approved)
    kcv = await confirmed(desk, plan, staged)
    const place = 'token' as const
    const row = { name, usage, kind, kcv, place, origin: 'ceremony' as const, exportable: false }
    await keepInToken(desk, staged, row, approved, () => storeParts(desk, approved, parts))
  } catch (error) {
    staged.drop()
    await appendEvent(desk.sql, {
      actor: approved.proposer,
      act: 'ceremony.abandoned',
      subject: name,
      detail: { approval: approved.id, components: staged.components },
    })
    throw error
  }
  await transcribe(desk, plan, { approved, parts, kcv, combined }, options.transcript)
}

function planOf(name: string, options: CeremonyOptions): Plan {
  const { usage, kind } = wantedKey(options)
  if (USAGES[usage].place !== 'token') {
    throw new WrongUsage(
      `a key for '${usage}' comes under a KEK: switchyard keys import or exchange`,
    )
  }
  const components = Number(options.components ?? COMPONENTS_MIN)
  if (!Number.isInteger(components) || components < COMPONENTS_MIN || components > COMPONENTS_MAX) {
    throw new WrongUsage(`--components is ${COMPONENTS_MIN} to ${COMPONENTS_MAX}`)
  }
  return { name, usage, kind, components }
}

async function collectParts(
  desk: Desk,
  plan: Plan,
  staged: StagedKey,
  approved: ApprovedCommand,
): Promise<Part[]> {
  const { terminal } = desk
  const parts: Part[] = []
  for (let part = 1; part <= plan.components; part++) {
    terminal.clear()
    terminal.say(
      `Key ${plan.name}, component ${part} of ${plan.components}.\n` +
        'Only the officer who holds this component looks at the screen now.\n\n',
    )
    const word = await custodian(desk, parts)
    const signer = await signIn(desk, word, 'custodian')
    await enterComponent(desk, plan, staged)
    const subject = `${approved.id}#${part}`
    const signed = signer.sign('bring_component', subject, approved.payloadSha256)
    parts.push({ officer: signer.name, signed })
    await terminal.ask('Component taken. Press Enter; the screen is cleared. ')
    terminal.clear()
  }
  return parts
}

/** Who brings this component: somebody who brought none yet. */
async function custodian(desk: Desk, parts: readonly Part[]): Promise<string> {
  for (;;) {
    const word = await desk.terminal.ask('Your name as an officer: ')
    if (word === '') continue
    const { name } = officerFile(desk, word)
    if (!parts.some((part) => part.officer === name)) return word
    desk.terminal.say(`${name} brought a component already; the next is another officer's.\n`)
  }
}

/** One component, typed unseen and compared with its check value; three attempts. */
async function enterComponent(desk: Desk, plan: Plan, staged: StagedKey): Promise<void> {
  const { terminal } = desk
  const { bytes, kcvBytes } = KINDS[plan.kind]
  for (let tried = 1; ; tried++) {
    terminal.say(`Type the ${bytes * 2} hex digits of your component. Nothing is shown.\n`)
    const typed = await terminal.askHidden('Component: ')
    const clear = readHexBytes(typed, bytes)
    wipe(typed)
    try {
      if (clear === null) {
        terminal.say(`That was not ${bytes * 2} hex digits.\n`)
      } else if (clear.every((byte) => byte === 0)) {
        terminal.say('A component of zeros is none.\n')
      } else {
        const digits = kcvBytes * 2
        const wanted = await terminal.ask(`Check value on your envelope (${digits} hex digits): `)
        if (sameCheckValue(wanted, staged.componentCheckValue(clear), digits)) {
          staged.addComponent(clear)
          terminal.say('The check value is right.\n')
          return
        }
        terminal.say('The check value is NOT that of what you typed.\n')
      }
    } finally {
      wipe(clear ?? undefined)
    }
    if (tried >= ENTRY_TRIES) {
      throw new CommandFailed(
        'a component was not accepted three times; the ceremony ends',
        'nothing was kept; find out whether form and envelope agree, then begin again',
      )
    }
  }
}

function sameCheckValue(typed: string, computed: string, digits: number): boolean {
  const plain = typed.replace(/[\s-]/g, '').toUpperCase()
  return plain.length === digits && plain === computed
}

/** Shows the whole key's check value and takes the last word. */
async function confirmed(desk: Desk, plan: Plan, staged: StagedKey): Promise<string> {
  const { terminal } = desk
  const kcv = staged.checkValue()
  terminal.clear()
  terminal.say(
    `All ${plan.components} components are in.\n` +
      `Check value of the whole key ${plan.name}: ${kcv}\n\n` +
      'Compare it with the letter of whoever sent the components.\n',
  )
  const typed = await terminal.ask(`Type ${plan.name} to keep the key, or anything else to stop: `)
  if (typed !== plan.name) throw new CommandFailed('the key was not kept', 'nothing was changed')
  return kcv
}

async function storeParts(
  desk: Desk,
  approved: ApprovedCommand,
  parts: readonly Part[],
): Promise<void> {
  for (const [at, { officer, signed }] of parts.entries()) {
    const part = at + 1
    await desk.sql.query(
      `INSERT INTO ceremony_part (approval, part, officer, statement, signature)
       VALUES ($1, $2, $3, $4, decode($5, 'hex'))`,
      [approved.id, part, officer, signed.statement, signed.signature],
    )
    await appendEvent(desk.sql, {
      actor: officer,
      act: 'ceremony.part',
      subject: approved.id,
      detail: { approval: approved.id, part, ...signed },
    })
  }
}

/** The transcript: what happened, no key value, signed by the token's audit key. */
async function transcribe(
  desk: Desk,
  plan: Plan,
  done: { approved: ApprovedCommand; parts: readonly Part[]; kcv: string; combined: string },
  path: string | undefined,
): Promise<void> {
  const head = await desk.checkpoint()
  const at = new Date(systemClock.wallMs()).toISOString()
  const { approved, parts, kcv, combined } = done
  const text = [
    `Key ceremony transcript${desk.place.rehearsal ? ' (REHEARSAL, throw-away token)' : ''}`,
    `time         ${at}`,
    `key          ${plan.name}`,
    `purpose      ${plan.usage}: ${USAGES[plan.usage].words}`,
    `kind         ${KINDS[plan.kind].words}`,
    `check value  ${kcv}`,
    `combined in  ${combined === 'token' ? 'the token' : 'memory of this command, wiped'}`,
    `proposed by  ${approved.proposer}`,
    `approved by  ${approved.decider}  (approval ${approved.id})`,
    `payload      SHA-256 ${approved.payloadSha256}`,
    ...parts.map(
      ({ officer }, i) => `component ${i + 1}  brought by ${officer}, check value compared`,
    ),
    `audit        event ${head.seq}, hash ${head.hash}`,
    '',
  ].join('\n')
  const signature = auditSigner(desk.session).sign(text)
  const whole = `${text}signature    ${signature}\n`
  const folder = join(desk.place.home, 'ceremonies')
  const file = path ?? join(folder, `${plan.name}-${at.replace(/[:.]/g, '')}.txt`)
  if (path === undefined) mkdirSync(folder, { recursive: true, mode: 0o700 })
  writeFileSync(file, whole, { mode: 0o600, flag: 'wx' })
  desk.terminal.clear()
  process.stdout.write(`${whole}\ntranscript in ${file}\n`)
}
