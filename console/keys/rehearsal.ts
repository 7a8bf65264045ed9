// `switchyard keys ceremony --rehearsal`: the same ceremony with a database, a SoftHSM token and
// two practice officers that live in a temporary folder and are removed at the end. Called by
// console/commands/keys.ts. It touches neither the real token nor the real database.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { KINDS } from '../../hsm/ceremony/key-plan.ts'
import { StagedKey } from '../../hsm/ceremony/staged-key.ts'
import { foundOfficer } from '../../hsm/officers/register.ts'
import { findModule, SOFTHSM_PATHS } from '../../hsm/pkcs11/module-path.ts'
import { initializeToken, prepareSoftHsm } from '../../hsm/pkcs11/provisioning.ts'
import { migrate } from '../../switch/journal/migrate.ts'
import { systemRandom } from '../../switch/runtime/random.ts'
import { CommandFailed } from '../help.ts'
import { ceremony } from './ceremony.ts'
import type { CeremonyOptions } from './ceremony.ts'
import { workAt } from './desk.ts'
import type { Desk, DeskPlace } from './desk.ts'
import { wantedKey } from './make.ts'
import { newcomer } from './sign-in.ts'

const TOKEN_LABEL = 'switchyard-rehearsal'
const OFFICERS = ['anna', 'ben'] as const

/** Practises a ceremony with two officers and components that are shown. */
export async function rehearse(name: string, options: CeremonyOptions): Promise<void> {
  const { usage, kind } = wantedKey({ usage: 'kek', ...options })
  const home = mkdtempSync(join(tmpdir(), 'switchyard-rehearsal-'))
  try {
    const place = await practicePlace(home)
    await workAt(place, async (desk) => {
      await practiceOfficers(desk)
      const components = practiceComponents(desk, kind)
      desk.terminal.say(components)
      await desk.terminal.ask('Write them down as envelopes would hold them, then press Enter. ')
      const [officer, second] = OFFICERS
      const transcript = join(home, 'transcript.txt')
      const chosen = { ...options, usage, kind, officer, with: second, transcript }
      await ceremony(desk, name, { ...chosen, components: '2' })
    })
    process.stdout.write('rehearsal: everything of it was removed again\n')
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

async function practicePlace(home: string): Promise<DeskPlace> {
  const module = findModule(undefined, SOFTHSM_PATHS)
  if (module === null) {
    throw new CommandFailed('SoftHSM is not installed', 'run sh scripts/setup.sh')
  }
  chmodSync(home, 0o755) // the database's account must reach its folder
  process.stderr.write('switchyard: rehearsal, with a throw-away token and database\n')
  const { startDatabase } = await import('../database/embedded.ts')
  const database = await startDatabase({ directory: join(home, 'database') })
  await migrate(database.url)
  prepareSoftHsm(join(home, 'tokens'))
  const pin = systemRandom.bytes(8).toString('hex')
  initializeToken(module, TOKEN_LABEL, systemRandom.bytes(8).toString('hex'), pin)
  return {
    home,
    databaseUrl: database.url,
    address: () => ({ module, tokenLabel: TOKEN_LABEL, pin }),
    kbpk: 'kbpk',
    clearComponents: true,
    rehearsal: true,
    close: () => database.stop(),
  }
}

async function practiceOfficers(desk: Desk): Promise<void> {
  desk.terminal.say(
    'REHEARSAL. Two practice officers, anna and ben, take part; play both, or ask a colleague.\n' +
      'Give each a passphrase of twelve characters or more; it is forgotten at the end.\n\n',
  )
  for (const name of OFFICERS) await foundOfficer(desk.sql, await newcomer(desk, name))
}

/** Two random practice components with their check values, as envelopes would show them. */
function practiceComponents(desk: Desk, kind: CeremonyKind): string {
  const { bytes } = KINDS[kind]
  const staged = new StagedKey(desk.session, 'kek', kind, 'buffer')
  const lines = [1, 2].map((part) => {
    const value = systemRandom.bytes(bytes)
    const kcv = staged.componentCheckValue(value)
    const groups = value.toString('hex').toUpperCase().replace(/(.{4})(?=.)/g, '$1 ')
    return `  envelope ${part}   ${groups}   check value ${kcv}\n`
  })
  return `\nPractice components (worthless; real ones are never shown):\n${lines.join('')}\n`
}

type CeremonyKind = ReturnType<typeof wantedKey>['kind']
