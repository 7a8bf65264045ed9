// Master keys of known value in a test token, with the attributes that a ceremony would give them.
// Used by tests only (contract, token layer); nothing of the switch imports it.

import pkcs11js from 'pkcs11js'

import type { KeyUsage } from '../port.ts'
import { softoknParameters } from './module-path.ts'
import { loadedModule, slotOf } from './session.ts'
import type { KeyPower, KeyType, TokenAddress, TokenSession } from './session.ts'
import { idOf, singleLabel } from './token-objects.ts'

/** What each master key may do in the token. */
const POWERS: Readonly<Record<KeyUsage, readonly KeyPower[]>> = {
  pin: ['encrypt', 'decrypt'],
  mac: ['encrypt'],
  track: ['encrypt', 'decrypt'],
  kek: ['encrypt', 'decrypt'],
  pvk: ['encrypt'],
  cvk: ['encrypt'],
  imk_ac: ['derive'],
  imk_smi: ['derive'],
  imk_smc: ['derive'],
}

export interface TestMasterKey {
  readonly name: string
  readonly usage: KeyUsage
  readonly value: Uint8Array // 16 bytes
}

/** Creates the keys as token objects. */
export function createMasterKeys(session: TokenSession, keys: readonly TestMasterKey[]): void {
  for (const { name, usage, value } of keys) {
    const shape = { powers: POWERS[usage], token: true }
    const pair = { ...shape, type: 'des2' as KeyType, label: name, id: idOf(usage, name) }
    session.create(pair, value)
    if (usage !== 'cvk') continue
    const left = value.subarray(0, 8)
    const thrice = Buffer.concat([left, left, left])
    const label = singleLabel(name)
    session.create({ ...shape, type: 'des3' as KeyType, label, id: idOf(usage, label) }, thrice)
  }
}

/** Makes `test.kbpk` and `test.vault` at random in the token. */
export function createProtectionKeys(session: TokenSession): void {
  const aes = { type: 'aes' as KeyType, bytes: 32, token: true }
  const kbpk = { label: 'test.kbpk', id: idOf('kbpk', 'test.kbpk') }
  const vault = { label: 'test.vault', id: idOf('vault', 'test.vault') }
  session.generate({ ...aes, ...kbpk, powers: ['encrypt', 'derive'] })
  session.generate({ ...aes, ...vault, powers: ['wrap', 'unwrap'] })
}

/** Label of the key slot of NSS softokn. */
const SOFTOKN_LABEL = 'NSS Certificate DB'

/** An NSS softokn key database in a directory of its own, its PIN set; for tests. */
export function initializeSoftokn(module: string, directory: string, pin: string): TokenAddress {
  const libraryParameters = softoknParameters(directory)
  const pkcs11 = loadedModule(module, libraryParameters)
  const slot = slotOf(pkcs11, SOFTOKN_LABEL)
  const flags = pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION
  const session = pkcs11.C_OpenSession(slot, flags)
  pkcs11.C_Login(session, pkcs11js.CKU_SO, '')
  pkcs11.C_InitPIN(session, pin)
  pkcs11.C_Logout(session)
  pkcs11.C_CloseSession(session)
  return { module, tokenLabel: SOFTOKN_LABEL, pin, libraryParameters }
}
