// What can go wrong between the switch and a token: refused PIN, demonstration keys, crashed and
// hanging workers, a module finalised under them, a token that disappears and comes back. Real
// SoftHSM in a directory of its own, real worker threads.

import { mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import t from 'tap'

import { systemClock, wait } from '../../switch/runtime/clock.ts'
import type { Clock } from '../../switch/runtime/clock.ts'
import { bytes, des, iso0 } from '../contract-test-reference.ts'
import { CONTRACT_KEYS, CVN10, PIN_KEY_A } from '../contract-test-rows.ts'
import { DEFAULT_IBM3624_PROFILE } from '../verbs/key-source.ts'
import { RECONNECT_PAUSE_MS, RESTART_PAUSE_MS, WORKER_RESTARTS_MAX } from './limits.ts'
import { findModule } from './module-path.ts'
import { Pkcs11Hsm, TokenNotOpened } from './pkcs11-hsm.ts'
import type { Pkcs11HsmOptions } from './pkcs11-hsm.ts'
import { initializeToken, prepareSoftHsm } from './provisioning.ts'
import { loadedModule, TokenSession } from './session.ts'
import { createMasterKeys, createProtectionKeys } from './test-token.ts'
import { CRASH, HANG, HANG_MS } from './test-worker.ts'
import { TokenKeys } from './token-keys.ts'

const module = findModule()
if (module === null) throw new Error('no PKCS#11 module found; scripts/setup.sh installs SoftHSM')

const directory = mkdtempSync(join(tmpdir(), 'switchyard-token-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))
prepareSoftHsm(directory)
initializeToken(module, 'faults', 'officer-1234', 'user-5678')
const address = { module, tokenLabel: 'faults', pin: 'user-5678' }
const first = TokenSession.open(address)
createMasterKeys(
  first,
  CONTRACT_KEYS.map(({ name, usage, hex }) => ({ name, usage, value: bytes(hex) })),
)
createProtectionKeys(first)
first.close()

const blocks = new Map<string, string>()
const TEST_WORKER = new URL('./test-worker.ts', import.meta.url).href

function options(more: Partial<Pkcs11HsmOptions> = {}): Pkcs11HsmOptions {
  return {
    address,
    directory: { find: (name) => Promise.resolve(blocks.get(name) ?? null) },
    clock: systemClock,
    kbpk: 'test.kbpk',
    vault: 'test.vault',
    clearPinInWorker: true,
    ...more,
  }
}

const CVV = {
  key: 'cvk',
  pan: '4123456789012345',
  expiry: '8701',
  serviceCode: '111',
  cvv: '856', // cvv#009
}
const CRASHING = { ...CVV, serviceCode: CRASH }

t.test('a refused PIN is tried once by all workers together, never again', async (t) => {
  const wrong = options({ address: { ...address, pin: 'wrong-0000' }, workers: 2 })
  const error = await Pkcs11Hsm.open(wrong).then(
    () => null,
    (reason: unknown) => reason,
  )
  t.ok(error instanceof TokenNotOpened)
  t.match((error as TokenNotOpened).fault, /^(CKR_PIN_INCORRECT|pin_refused)$/)
  t.notMatch(String(error), /wrong-0000/, 'the PIN is not in the error')
  const hsm = await Pkcs11Hsm.open(options())
  t.equal((await hsm.verifyCvv(CVV)).outcome, 'ok', 'the token is not locked')
  await hsm.close()
})

t.test('a token that does not exist is named in the error', async (t) => {
  const missing = options({ address: { ...address, tokenLabel: 'nowhere' } })
  await t.rejects(Pkcs11Hsm.open(missing), /'nowhere'.*token_not_present/)
})

t.test('keys of the demonstration are refused outside it', async (t) => {
  const named = options({ kbpk: 'demo.kbpk' })
  await t.rejects(Pkcs11Hsm.open(named), /demonstration_keys_refused/)
  const hsm = await Pkcs11Hsm.open(options())
  const session = TokenSession.open(address)
  const value = bytes('0123456789ABCDEFFEDCBA9876543210')
  createMasterKeys(session, [{ name: 'demo.issuer.cvk', usage: 'cvk', value }])
  session.close()
  const request = { ...CVV, key: 'demo.issuer.cvk' }
  t.equal((await hsm.verifyCvv(request)).outcome, 'key_missing')
  await hsm.close()
  const demonstration = await Pkcs11Hsm.open(options({ demonstration: true, workers: 1 }))
  t.equal((await demonstration.verifyCvv(request)).outcome, 'ok')
  await demonstration.close()
})

t.test('without the word in the configuration no PIN is ever clear', async (t) => {
  const hsm = await Pkcs11Hsm.open(options({ clearPinInWorker: false, workers: 1 }))
  const wrapped = des(bytes(CONTRACT_KEYS[0]!.hex), bytes(PIN_KEY_A))
  const imported = { name: 'pin.a', kek: 'kek', usage: 'pin' as const, wrapped, kcv: null }
  const key = await hsm.importWorkingKey(imported)
  t.equal(key.outcome, 'ok')
  if (key.outcome === 'ok') blocks.set('pin.a', key.value.block)
  const pan = '1122334455667788'
  const block = des(bytes(PIN_KEY_A), iso0('4524', pan))
  const translation = { fromKey: 'pin.a', toKey: 'pin.a', block, pan }
  const formats = { fromFormat: 'iso0' as const, toFormat: 'iso0' as const }
  t.equal((await hsm.translatePin({ ...translation, ...formats })).outcome, 'unavailable')
  const method = { kind: 'pvv' as const, key: 'pvk', pvki: '1', pvv: '8523' }
  const verification = { pinKey: 'pin.a', block, format: 'iso0' as const, pan, method }
  t.equal((await hsm.verifyPin(verification)).outcome, 'unavailable')
  t.equal((await hsm.verifyArqc(CVN10)).outcome, 'ok', 'what needs no PIN works')
  const capability = hsm.status().capabilities.find((one) => one.name === 'clear_pin_in_worker')
  t.equal(capability?.available, false)
  t.match(capability?.note, /refused/, 'and the status says so')
  await hsm.close()
})

t.test('a crashed worker costs its batch and is replaced', async (t) => {
  const hsm = await Pkcs11Hsm.open(options({ workers: 2, workerFile: TEST_WORKER }))
  for (let round = 0; round < 2; round++) {
    t.equal((await hsm.verifyCvv(CRASHING)).outcome, 'unavailable')
    const calls = Array.from({ length: 40 }, () => hsm.verifyCvv(CVV))
    for (const result of await Promise.all(calls)) t.equal(result.outcome, 'ok', 'after a crash')
  }
  t.equal(hsm.status().queued, 0)
  await hsm.close()
})

t.test('a pool that keeps crashing rests, then serves again', async (t) => {
  // The real clock, but the rest lasts a tenth of a second instead of RESTART_PAUSE_MS.
  const clock: Clock = {
    ...systemClock,
    after: (ms, fn) => systemClock.after(ms === RESTART_PAUSE_MS ? 100 : ms, fn),
  }
  const hsm = await Pkcs11Hsm.open(options({ workers: 1, workerFile: TEST_WORKER, clock }))
  for (let crash = 0; crash <= WORKER_RESTARTS_MAX; crash++) {
    t.equal((await hsm.verifyCvv(CRASHING)).outcome, 'unavailable')
  }
  t.equal(hsm.status().ready, false, 'it rests')
  t.equal((await hsm.verifyCvv(CVV)).outcome, 'unavailable')
  await wait(systemClock, 150)
  t.equal((await hsm.verifyCvv(CVV)).outcome, 'ok')
  await hsm.close()
})

t.test('a hanging token answers unavailable in time and recovers', async (t) => {
  const more = { workers: 1, workerFile: TEST_WORKER, deadlineMs: 100 }
  const hsm = await Pkcs11Hsm.open(options(more))
  const started = systemClock.monotonicMs()
  t.equal((await hsm.verifyCvv({ ...CVV, serviceCode: HANG })).outcome, 'unavailable')
  const elapsed = systemClock.monotonicMs() - started
  t.ok(elapsed < HANG_MS, 'before the worker answered')
  t.equal((await hsm.verifyCvv(CVV)).outcome, 'unavailable', 'nothing else can be done meanwhile')
  await wait(systemClock, HANG_MS)
  t.equal((await hsm.verifyCvv(CVV)).outcome, 'ok')
  t.equal(hsm.status().queued, 0)
  await hsm.close()
})

t.test('a module finalised under the workers is opened again', async (t) => {
  const hsm = await Pkcs11Hsm.open(options({ workers: 2 }))
  await hsm.verifyCvv(CVV)
  for (let round = 0; round < 3; round++) {
    loadedModule(address.module).C_Finalize()
    const calls = Array.from({ length: 20 }, () => hsm.verifyCvv(CVV))
    for (const { outcome } of await Promise.all(calls)) {
      // SoftHSM may fail an opening while another thread still comes out of the old state; such a
      // call is unavailable and the next attempt waits a moment. No call has a wrong result.
      t.match(outcome, /^(ok|unavailable)$/)
    }
    await wait(systemClock, RECONNECT_PAUSE_MS + 50)
    const after = Array.from({ length: 20 }, () => hsm.verifyCvv(CVV))
    for (const { outcome } of await Promise.all(after)) t.equal(outcome, 'ok', 'a moment later')
  }
  await hsm.close()
})

t.test('a token that disappears is unavailable; when it comes back it serves', async (t) => {
  const hsm = await Pkcs11Hsm.open(options({ workers: 2 }))
  const objects = join(directory, 'objects')
  renameSync(objects, `${objects}.away`)
  loadedModule(address.module).C_Finalize()
  for (let call = 0; call < 5; call++) {
    t.equal((await hsm.verifyCvv(CVV)).outcome, 'unavailable')
  }
  renameSync(`${objects}.away`, objects)
  loadedModule(address.module).C_Finalize()
  await wait(systemClock, RECONNECT_PAUSE_MS + 50)
  const calls = Array.from({ length: 10 }, () => hsm.verifyCvv(CVV))
  for (const result of await Promise.all(calls)) t.equal(result.outcome, 'ok')
  await hsm.close()
})

t.test('a request that is no request is bad input, not an exception', async (t) => {
  const hsm = await Pkcs11Hsm.open(options({ workers: 1 }))
  t.equal((await hsm.generateMac({ key: 'cvk' } as never)).outcome, 'bad_input')
  await hsm.close()
  await hsm.close()
  t.equal((await hsm.generateMac({ key: 'cvk' } as never)).outcome, 'unavailable')
})

const KEYS_MAX = 3

/** A key source in process, with room for KEYS_MAX working keys. */
function keySource(session: TokenSession): TokenKeys {
  return new TokenKeys(session, {
    kbpk: 'test.kbpk',
    vault: 'test.vault',
    clearPinAllowed: true,
    ibm3624: { pvk: DEFAULT_IBM3624_PROFILE },
    deriveInToken: true,
    deriveBlockKeysInToken: true,
    translateInToken: false,
    sessionKeysMax: KEYS_MAX,
  })
}

t.test('session objects of working keys are bounded, the oldest destroyed first', async (t) => {
  const session = TokenSession.open(address)
  const keys = keySource(session)
  const own = Array.from({ length: 6 }, (_, at) => {
    const name = `working.${at}`
    return { name, block: keys.seal(name, 'mac', session.random(16)) }
  })
  keys.open(own[0]!, 'mac', 'generate')
  const before = session.find([]).length
  for (let round = 0; round < 3; round++) {
    for (const ref of own) {
      const { single, pair } = keys.open(ref, 'mac', 'generate')
      t.equal(pair.encryptEcb(single.encryptEcb(new Uint8Array(8))).length, 8, ref.name)
    }
  }
  t.equal(keys.workingKeys, KEYS_MAX)
  t.equal(session.find([]).length, before + 2 * (KEYS_MAX - 1), 'two objects for each key held')
  session.close()
})

t.test('derived keys are gone when their verb is done', async (t) => {
  const session = TokenSession.open(address)
  const imk = keySource(session).open({ name: 'imk', block: null }, 'imk_ac', 'derive')
  const before = session.find([]).length
  const cardKey = imk.derive(new Uint8Array(16).fill(7))
  const sessionKey = cardKey.derive(new Uint8Array(16).fill(9))
  sessionKey.pair.encryptEcb(sessionKey.single.encryptEcb(new Uint8Array(8)))
  t.ok(session.find([]).length > before, 'they are session objects')
  sessionKey.close()
  cardKey.close()
  t.equal(session.find([]).length, before)
  t.throws(() => imk.pair.encryptEcb(new Uint8Array(8)), /KEY_FUNCTION_NOT_PERMITTED/)
  session.close()
})

t.test('a key block of another protection key opens nothing', async (t) => {
  const session = TokenSession.open(address)
  const foreign =
    'D0112P0AE00E0000B82679114F470F540165EDFBF7E250FCEA43F810D215F8D2' +
    '07E2E417C07156A27E8E31DA05F7425509593D03A457DC34' // tr31.wrap.D#001
  const ref = { name: 'foreign', block: foreign }
  t.throws(() => keySource(session).open(ref, 'pin', 'encrypt'), /key_missing/)
  const older = { name: 'older', block: `A${foreign.slice(1)}` }
  t.throws(() => keySource(session).open(older, 'pin', 'encrypt'), /key_missing/)
  session.close()
})
