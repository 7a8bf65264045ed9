// PIN translation that shows no PIN to the process: NSS softokn unwraps the block under one key and
// wraps it under the other. Its own file, because it needs a token that SoftHSM is not.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import pkcs11js from 'pkcs11js'
import t from 'tap'

import { systemClock } from '../../switch/runtime/clock.ts'
import { bytes, des, hex, iso0, unionPay } from '../contract-test-reference.ts'
import { CONTRACT_KEYS, PIN_KEY_A, PIN_KEY_B } from '../contract-test-rows.ts'
import { findModule, SOFTOKN_PATHS } from './module-path.ts'
import { Pkcs11Hsm } from './pkcs11-hsm.ts'
import type { TokenAddress } from './session.ts'
import { TokenSession } from './session.ts'
import { createMasterKeys, createProtectionKeys, initializeSoftokn } from './test-token.ts'

const PAN = '4356876509876788'
const PIN = 'user-5678'

const module = findModule(undefined, SOFTOKN_PATHS)
if (module === null) {
  t.test('NSS softokn', { skip: 'libnss3 is not installed on this machine' }, async () => undefined)
} else {
  const directory = mkdtempSync(join(tmpdir(), 'switchyard-softokn-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  facts(initializeSoftokn(module, directory, PIN))
}

function facts(address: TokenAddress): void {
  const session = TokenSession.open(address)
  createMasterKeys(
    session,
    CONTRACT_KEYS.map(({ name, usage, hex: value }) => ({ name, usage, value: bytes(value) })),
  )
  createProtectionKeys(session)
  session.close()

  t.test('a PIN is translated although no clear PIN is accepted anywhere', async (t) => {
    const blocks = new Map<string, string>()
    const hsm = await Pkcs11Hsm.open({
      address,
      directory: { find: (name) => Promise.resolve(blocks.get(name) ?? null) },
      clock: systemClock,
      kbpk: 'test.kbpk',
      vault: 'test.vault',
      clearPinInWorker: false,
      workers: 2,
    })
    const kek = bytes(CONTRACT_KEYS[0]!.hex)
    for (const [name, key] of [['pin.a', PIN_KEY_A], ['pin.b', PIN_KEY_B]] as const) {
      const wrapped = des(kek, bytes(key))
      const request = { name, kek: 'kek', usage: 'pin' as const, wrapped, kcv: null }
      const imported = await hsm.importWorkingKey(request)
      if (imported.outcome === 'ok') blocks.set(name, imported.value.block)
    }
    const block = des(bytes(PIN_KEY_A), iso0('1234', PAN))
    const names = { fromKey: 'pin.a', toKey: 'pin.b', pan: PAN }
    const same = { ...names, block, fromFormat: 'iso0' as const, toFormat: 'iso0' as const }
    const result = await hsm.translatePin(same)
    const got = result.outcome === 'ok' ? hex(des(bytes(PIN_KEY_B), result.value, true)) : result
    t.equal(got, hex(iso0('1234', PAN)))

    const lost = { ...same, toFormat: 'iso1' as const }
    t.equal((await hsm.translatePin(lost)).outcome, 'translation_forbidden')
    const rewritten = {
      ...names,
      block: des(bytes(PIN_KEY_A), unionPay('1234', PAN)),
      fromFormat: 'unionpay_pan' as const,
      toFormat: 'iso0' as const,
    }
    const refused = await hsm.translatePin(rewritten)
    t.equal(refused.outcome, 'unavailable', 'a change of format needs the clear PIN, so it is refused')
    await hsm.close()
  })

  t.test('the block inside the token can be neither read nor used as a key', async (t) => {
    const session = TokenSession.open(address)
    const key = session.create({ type: 'des2', powers: ['unwrap'] }, bytes(PIN_KEY_A))
    const shape = { type: 'secret', bytes: 8, powers: [], extractable: true } as const
    const block = des(bytes(PIN_KEY_A), iso0('1234', PAN))
    const secret = session.unwrap(pkcs11js.CKM_DES3_ECB, key, block, shape)
    t.throws(() => session.attributes(secret, [pkcs11js.CKA_VALUE]), /CKR_ATTRIBUTE_SENSITIVE/)
    session.close()
  })
}
