// Runs the contract suite against every adapter: SoftHSM in its own temporary token directory,
// through real worker threads, and the software adapter.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import t from 'tap'

import { systemClock } from '../switch/runtime/clock.ts'
import { seededRandom } from '../switch/runtime/random.ts'
import { bytes } from './contract-reference.ts'
import { CONTRACT_IBM3624, CONTRACT_KEYS } from './contract-rows.ts'
import { contractOf } from './contract.ts'
import { findModule } from './pkcs11/module-path.ts'
import { Pkcs11Hsm } from './pkcs11/pkcs11-hsm.ts'
import { initializeToken, prepareSoftHsm } from './pkcs11/provisioning.ts'
import { TokenSession } from './pkcs11/session.ts'
import { createMasterKeys } from './pkcs11/test-token.ts'
import type { KeyDirectory } from './port.ts'
import { SoftwareHsm } from './software/software-hsm.ts'

/** Key blocks by name, as the journal would hold them. */
function memoryDirectory(): KeyDirectory & { blocks: Map<string, string> } {
  const blocks = new Map<string, string>()
  return { blocks, find: (name) => Promise.resolve(blocks.get(name) ?? null) }
}

const module = findModule()
if (module === null) throw new Error('no PKCS#11 module found; scripts/setup.sh installs SoftHSM')

const directory = mkdtempSync(join(tmpdir(), 'switchyard-contract-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))
prepareSoftHsm(directory)
initializeToken(module, 'contract', 'officer-1234', 'user-5678')
const address = { module, tokenLabel: 'contract', pin: 'user-5678' }
const session = TokenSession.open(address)
createMasterKeys(
  session,
  CONTRACT_KEYS.map(({ name, usage, hex }) => ({ name, usage, value: bytes(hex) })),
)
session.close()

contractOf(t, 'SoftHSM', async (callsMax) => {
  const keys = memoryDirectory()
  const hsm = await Pkcs11Hsm.open({
    address,
    directory: keys,
    clock: systemClock,
    kbpk: 'test.kbpk',
    vault: 'test.vault',
    clearPinInWorker: true,
    ibm3624: CONTRACT_IBM3624,
    ...(callsMax === undefined ? {} : { callsMax }),
  })
  return { hsm, put: (name, block) => void keys.blocks.set(name, block) }
})

contractOf(t, 'software', async (callsMax) => {
  const keys = memoryDirectory()
  const hsm = new SoftwareHsm({
    development: true,
    directory: keys,
    random: seededRandom('contract'),
    ibm3624: CONTRACT_IBM3624,
    keys: Object.fromEntries(
      CONTRACT_KEYS.map(({ name, usage, hex }) => [name, { usage, key: bytes(hex) }]),
    ),
    ...(callsMax === undefined ? {} : { queueLimit: callsMax }),
  })
  return { hsm, put: (name, block) => void keys.blocks.set(name, block) }
})

t.test('the software adapter is refused without the word development', async (t) => {
  const options = { directory: memoryDirectory(), random: seededRandom(1), keys: {} }
  for (const development of [false, undefined]) {
    t.throws(() => new SoftwareHsm({ ...options, development } as never), /refused/)
  }
})
