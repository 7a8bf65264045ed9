// Master keys of known value in a test token, with the attributes that a ceremony would give them.
// Used by tests only (contract, token layer); nothing of the switch imports it.

import type { KeyUsage } from '../port.ts'
import type { KeyPower, KeyType, TokenSession } from './session.ts'
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

/** Creates the keys as token objects, and `test.kbpk` and `test.vault` at random in the token. */
export function createMasterKeys(session: TokenSession, keys: readonly TestMasterKey[]): void {
  for (const { name, usage, value } of keys) {
    const shape = { powers: POWERS[usage], token: true, id: idOf(usage) }
    session.create({ ...shape, type: 'des2' as KeyType, label: name }, value)
    if (usage !== 'cvk') continue
    const left = value.subarray(0, 8)
    const thrice = Buffer.concat([left, left, left])
    session.create({ ...shape, type: 'des3' as KeyType, label: singleLabel(name) }, thrice)
  }
  const aes = { type: 'aes' as KeyType, bytes: 32, token: true }
  session.generate({ ...aes, powers: ['encrypt', 'derive'], label: 'test.kbpk', id: idOf('kbpk') })
  session.generate({ ...aes, powers: ['wrap', 'unwrap'], label: 'test.vault', id: idOf('vault') })
}
