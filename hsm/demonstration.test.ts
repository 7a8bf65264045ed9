// What the demonstration's tokens promise: made once, found again, whole after a kill -9 at any
// point, every key with no more rights than its use needs, nothing clear in any file. Each start is
// a process of its own, because SoftHSM reads its configuration once per process.

import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import t from 'tap'

import { systemClock, wait } from '../switch/runtime/clock.ts'
import { des, hex } from './contract-test-reference.ts'
import {
  DEMONSTRATION_KEYS,
  DEMONSTRATION_TERMINALS,
  provisionDemonstration,
} from './demonstration.ts'
import { findModule } from './pkcs11/module-path.ts'
import { TokenSession } from './pkcs11/session.ts'
import { openToken } from './pkcs11/token.ts'
import { keysIn } from './pkcs11/token-objects.ts'

const module = findModule()
if (module === null) throw new Error('no PKCS#11 module found; scripts/setup.sh installs SoftHSM')

const START = fileURLToPath(new URL('./demonstration-test-start.ts', import.meta.url))
const homes = mkdtempSync(join(tmpdir(), 'switchyard-demonstration-'))
t.teardown(() => rmSync(homes, { recursive: true, force: true }))

interface Start {
  readonly status: number | null
  readonly out: string
}

/** Starts in a process of its own; kills it with SIGKILL after `killMs` when given. */
async function start(home: string, killMs?: number): Promise<Start> {
  const words = [START, home, module!]
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  child.stdout.on('data', (chunk) => (out += String(chunk)))
  child.stderr.on('data', (chunk) => (out += String(chunk)))
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  // The child says `begin` when its modules are loaded; only then does the time count.
  while (killMs !== undefined && !out.includes('begin') && child.exitCode === null) {
    await wait(systemClock, 2)
  }
  if (killMs !== undefined) {
    await wait(systemClock, killMs)
    child.kill('SIGKILL')
  }
  return { status: await ended, out }
}

/** Files under a directory, with their paths. */
function filesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

t.test('tokens are made once and found by every later start', async (t) => {
  const home = join(homes, 'twice')
  const first = await start(home)
  t.equal(first.status, 0, first.out)
  const second = await start(home)
  t.equal(second.status, 0, second.out)
  t.match(first.out, /keys [0-9a-f]{16}/, 'a fingerprint of the keys')
  t.equal(second.out, first.out, 'the same keys')
})

t.test('three first starts at the same time make the tokens once and do not disturb each other', async (t) => {
  const home = join(homes, 'race')
  const [one, two, three] = await Promise.all([start(home), start(home), start(home)])
  t.equal(one.status, 0, one.out)
  t.equal(two.status, 0, two.out)
  t.equal(three.status, 0, three.out)
  t.same([two.out, three.out], [one.out, one.out])
})

t.test('a first start that is killed leaves nothing that the next one trips over', async (t) => {
  for (const killMs of [5, 40, 110]) {
    const home = join(homes, `killed-${killMs}`)
    await start(home, killMs)
    const next = await start(home)
    t.equal(next.status, 0, `killed after ${killMs} ms: ${next.out}`)
    t.match(next.out, /complete/, 'all keys are in both tokens')
    const left = readdirSync(join(home, 'tokens')).filter((name) => name.includes('lock'))
    t.same(left, [], 'no lock is left')
  }
})

t.test('directories and files are closed to others, and no file shows a PIN twice', async (t) => {
  const home = join(homes, 'twice')
  for (const path of filesUnder(home)) {
    t.equal(statSync(path).mode & 0o077, 0, `${path.slice(home.length)} is the owner's only`)
  }
  const pins = readdirSync(join(home, 'secrets')).map((name) =>
    readFileSync(join(home, 'secrets', name), 'latin1').trim(),
  )
  t.equal(new Set(pins).size, 4, 'four different PINs')
  for (const path of filesUnder(join(home, 'tokens'))) {
    const text = readFileSync(path, 'latin1')
    for (const pin of pins) t.notOk(text.includes(pin), path.slice(home.length))
  }
})

t.test('keys have the rights of their use, and the outside has the same values', async (t) => {
  const home = join(homes, 'twice')
  const { bank, outside } = await provisionDemonstration({ home, module: module! })
  const session = TokenSession.open(bank)
  const listed = keysIn(session)
  for (const name of DEMONSTRATION_KEYS) {
    const key = listed.find((one) => one.name === name)
    t.equal(key?.extractable, false, `${name} is in the bank's token and cannot leave it`)
    t.ok(name.startsWith('demo.'), `${name} says what it is`)
  }
  session.close()

  const ours = openToken(bank)
  const theirs = openToken(outside)
  const zeros = new Uint8Array(8)
  for (const terminal of DEMONSTRATION_TERMINALS) {
    const label = `demo.tmk.${terminal}`
    t.same(ours.cipher(label).encryptEcb(zeros), theirs.cipher(label).encryptEcb(zeros), label)
  }
  const refusals: ReadonlyArray<readonly [string, 'encryptEcb' | 'decryptEcb']> = [
    ['demo.tmk.10000001', 'decryptEcb'], // the bank only sends keys under it
    ['demo.issuer.pvk', 'decryptEcb'],
    ['demo.issuer.cvk', 'decryptEcb'],
    ['demo.issuer.imk_ac', 'encryptEcb'], // derives, nothing else
    ['demo.issuer.imk_ac', 'decryptEcb'],
  ]
  for (const [label, act] of refusals) {
    const session = openToken(bank) // a refusal leaves its session unusable
    t.throws(() => session.cipher(label)[act](zeros), /NOT_PERMITTED/, `${label} ${act}`)
    session.close()
  }
  // Both forms of the CVK belong together: K1|K1|K1 gives DES under the left half of K1|K2|K1.
  const pair = theirs.cipher('demo.issuer.cvk')
  const single = theirs.cipher('demo.issuer.cvk#single')
  t.same(single.decryptEcb(single.encryptEcb(zeros)), zeros)
  t.not(hex(pair.encryptEcb(zeros)), hex(single.encryptEcb(zeros)), 'the halves differ')
  // The card key that the bank's token derives is the one that the card simulator computes.
  const data = Uint8Array.from({ length: 16 }, (_, at) => at)
  const simulated = theirs.cipher('demo.issuer.imk_ac').encryptEcb(data)
  const deriving = TokenSession.open(bank)
  const imk = deriving.findKeys('demo.issuer.imk_ac')[0]!
  const derived = deriving.deriveEcb(imk, false, data, { type: 'des2', powers: ['encrypt'] })
  t.equal(hex(deriving.ecb('encrypt', derived, false, zeros)), hex(des(simulated, zeros)))
  deriving.close()
  ours.close()
  theirs.close()
})

t.test('a token that was removed is not silently made anew', async (t) => {
  const home = join(homes, 'race')
  rmSync(join(home, 'tokens', 'objects'), { recursive: true })
  const after = await start(home)
  t.equal(after.status, 1)
  t.match(after.out, /is gone or its PIN file is missing; to start over with new keys remove/)
})
