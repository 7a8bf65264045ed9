// Runs the contract suite against every adapter: SoftHSM and NSS softokn, each in a temporary
// directory of its own and through real worker threads, and the software adapter.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import t from 'tap'

import { systemClock } from '../switch/runtime/clock.ts'
import { seededRandom } from '../switch/runtime/random.ts'
import { bytes } from './contract-test-reference.ts'
import { CONTRACT_IBM3624, CONTRACT_KEYS } from './contract-test-rows.ts'
import { contractOf } from './contract.ts'
import type { MakeSubject } from './contract.ts'
import { findModule, SOFTOKN_PATHS } from './pkcs11/module-path.ts'
import { Pkcs11Hsm } from './pkcs11/pkcs11-hsm.ts'
import { initializeToken, prepareSoftHsm } from './pkcs11/provisioning.ts'
import { TokenSession } from './pkcs11/session.ts'
import type { TokenAddress } from './pkcs11/session.ts'
import { createMasterKeys, createProtectionKeys, initializeSoftokn } from './pkcs11/test-token.ts'
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

/** Puts the suite's master keys into a fresh token. */
function fill(address: TokenAddress): void {
  const session = TokenSession.open(address)
  createMasterKeys(
    session,
    CONTRACT_KEYS.map(({ name, usage, hex }) => ({ name, usage, value: bytes(hex) })),
  )
  createProtectionKeys(session)
  session.close()
}

/** Makes subjects over one token, through worker threads. */
function subjects(address: TokenAddress, checksBlocks: boolean): MakeSubject {
  return async (callsMax) => {
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
    return { hsm, checksBlocks, put: (name, block) => void keys.blocks.set(name, block) }
  }
}

prepareSoftHsm(join(directory, 'softhsm'))
initializeToken(module, 'contract', 'officer-1234', 'user-5678')
const softHsm = { module, tokenLabel: 'contract', pin: 'user-5678' }
fill(softHsm)
contractOf(t, 'SoftHSM', subjects(softHsm, true))

const softokn = findModule(undefined, SOFTOKN_PATHS)
if (softokn === null) {
  t.test('NSS softokn', { skip: 'libnss3 is not installed on this machine' }, async () => undefined)
} else {
  mkdirSync(join(directory, 'softokn'))
  const address = initializeSoftokn(softokn, join(directory, 'softokn'), 'user-5678')
  fill(address)
  contractOf(t, 'NSS softokn', subjects(address, false))
}

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
  return { hsm, checksBlocks: true, put: (name, block) => void keys.blocks.set(name, block) }
})

t.test('the software adapter is refused without the word development', async (t) => {
  const options = { directory: memoryDirectory(), random: seededRandom(1), keys: {} }
  for (const development of [false, undefined]) {
    t.throws(() => new SoftwareHsm({ ...options, development } as never), /refused/)
  }
})
