// Keys on their way into a token, on SoftHSM and NSS softokn: components added up, both forms of a
// CVK, AES, what an interrupted command leaves, and key blocks of every version. Sums and blocks
// are computed here with clear keys and OpenSSL.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { cmacCheckValue, zeroCheckValue } from '../algorithms/kcv.ts'
import { buildKeyBlockHeader, keyBlockKeys, wrapKeyBlock } from '../algorithms/key-block.ts'
import { aesCipher, softwareCipher, tdesCipher } from '../algorithms/software-ciphers.ts'
import { findModule, SOFTOKN_PATHS } from '../pkcs11/module-path.ts'
import { initializeToken, prepareSoftHsm } from '../pkcs11/provisioning.ts'
import { TokenSession } from '../pkcs11/session.ts'
import type { TokenAddress } from '../pkcs11/session.ts'
import { initializeSoftokn } from '../pkcs11/test-token.ts'
import { openBlock, sealBlock } from './block-exchange.ts'
import { protectionKey } from './block-keys.ts'
import type { InventoryKey } from './inventory.ts'
import { KINDS } from './key-plan.ts'
import type { KeyKind, OfficerUsage } from './key-plan.ts'
import { settle } from './settle.ts'
import { checkValueOfKept, combinesInToken, StagedKey } from './staged-key.ts'
import { auditPublicKey, auditSigner, exposure, keptKeys } from './token-calls.ts'
import { makeCheckpoint, signatureHolds } from '../../audit/checkpoint.ts'
import { FIRST_PREVIOUS } from '../../audit/event.ts'

const directory = mkdtempSync(join(tmpdir(), 'switchyard-staged-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))

function softHsm(): TokenAddress {
  const module = findModule()
  if (module === null) throw new Error('no SoftHSM; scripts/setup.sh installs it')
  prepareSoftHsm(join(directory, 'softhsm'))
  initializeToken(module, 'ceremony', '1234567890', '12345678')
  return { module, tokenLabel: 'ceremony', pin: '12345678' }
}

function softokn(): TokenAddress {
  const module = findModule(undefined, SOFTOKN_PATHS)
  if (module === null) throw new Error('no NSS softokn; scripts/setup.sh installs it')
  return initializeSoftokn(module, mkdtempSync(join(directory, 'nss-')), '12345678')
}

const TOKENS = [
  { token: 'SoftHSM', address: softHsm(), inToken: false },
  { token: 'NSS softokn', address: softokn(), inToken: true },
]

/** Components and their sum, added by hand digit by digit. */
interface Row {
  readonly name: string
  readonly usage: OfficerUsage
  readonly kind: KeyKind
  readonly parts: readonly string[]
  readonly sum: string
}

const ROWS: readonly Row[] = [
  { name: 'two of a double-length KEK', usage: 'kek', kind: 'tdes2', parts: ['0123456789ABCDEFFEDCBA9876543210', '11111111111111112222222222222222'], sum: '1032547698BADCFEDCFE98BA54761032' },
  { name: 'three of a double-length KEK', usage: 'kek', kind: 'tdes2', parts: ['0123456789ABCDEFFEDCBA9876543210', '11111111111111112222222222222222', 'F0F0F0F0F0F0F0F00F0F0F0F0F0F0F0F'], sum: 'E0C2A486684A2C0ED3F197B55B791F3D' },
  { name: 'two of a triple-length KEK', usage: 'kek', kind: 'tdes3', parts: ['0123456789ABCDEFFEDCBA98765432100011223344556677', '111111111111111122222222222222223333333333333333'], sum: '1032547698BADCFEDCFE98BA547610323322110077665544' },
  { name: 'two of an AES-256 KEK', usage: 'kek', kind: 'aes256', parts: ['00'.repeat(15) + '01' + 'FF'.repeat(16), 'A5'.repeat(32)], sum: 'A5'.repeat(15) + 'A4' + '5A'.repeat(16) },
  { name: 'two of a CVK', usage: 'cvk', kind: 'tdes2', parts: ['0123456789ABCDEFFEDCBA9876543210', '11111111111111112222222222222222'], sum: '1032547698BADCFEDCFE98BA54761032' },
  { name: 'two of an issuer master key, which may only derive', usage: 'imk_ac', kind: 'tdes2', parts: ['0123456789ABCDEFFEDCBA9876543210', '11111111111111112222222222222222'], sum: '1032547698BADCFEDCFE98BA54761032' },
]

function kcvOf(kind: KeyKind, hex: string): string {
  const key = Buffer.from(hex, 'hex')
  const value = KINDS[kind].wide ? cmacCheckValue(aesCipher(key)) : zeroCheckValue(tdesCipher(key))
  return Buffer.from(value.subarray(0, KINDS[kind].kcvBytes)).toString('hex').toUpperCase()
}

function row(
  name: string,
  usage: OfficerUsage,
  kind: KeyKind,
  more: Partial<InventoryKey> = {},
): InventoryKey {
  const at = new Date(0)
  return {
    name,
    generation: 1,
    usage,
    kind,
    kcv: '',
    place: 'token',
    origin: 'ceremony',
    exportable: false,
    state: 'active',
    addedAt: at,
    addedBy: '',
    changedAt: at,
    changedBy: '',
    ...more,
  }
}

for (const { token, address, inToken } of TOKENS) {
  t.test(`${token}: components are added up ${inToken ? 'inside' : 'outside, by an explicit word'}`, async (t) => {
    const session = TokenSession.open(address)
    t.equal(combinesInToken(session), inToken)
    const known: InventoryKey[] = []
    for (const [at, { name, usage, kind, parts, sum }] of ROWS.entries()) {
      const staged = new StagedKey(session, usage, kind, inToken ? 'token' : 'buffer')
      for (const part of parts) {
        const clear = Buffer.from(part, 'hex')
        t.equal(staged.componentCheckValue(clear), kcvOf(kind, part), `${name}: a component`)
        staged.addComponent(clear)
      }
      t.equal(staged.checkValue(), kcvOf(kind, sum), name)
      const label = `sum.${at}`
      staged.keep(label, 1)
      t.same(session.findKeys(label), [], 'no verb finds it before the database knows it')
      known.push(row(label, usage, kind))
      settle(session, known)
      const [key] = session.findKeys(label)
      t.equal(checkValueOfKept(session, key!, kind), kcvOf(kind, sum), `${name}: in the token`)
      t.same(exposure(session, key!), { readable: false, extractable: false }, name)
      if (usage === 'imk_ac') t.throws(() => session.ecb('encrypt', key!, false, new Uint8Array(8)))
      if (usage !== 'cvk') continue
      const [single] = session.findKeys(`${label}#single`)
      const left = sum.slice(0, 16)
      t.equal(checkValueOfKept(session, single!, 'tdes3'), kcvOf('tdes3', left + left + left))
    }
    session.close()
  })

  t.test(`${token}: what was interrupted is removed, what was committed is named, what is retired is destroyed`, async (t) => {
    const session = TokenSession.open(address)
    const labels = (): string[] => keptKeys(session).map(({ label }) => label).filter(
      (label) => label.startsWith('life'),
    ).sort()
    const make = (generation: number): void => {
      const staged = new StagedKey(session, 'kek', 'tdes2', 'token')
      staged.generate()
      staged.keep('life', generation)
      staged.drop()
    }
    const others = keptKeys(session).length
    make(1)
    t.same(labels(), ['life#unfinished'])
    settle(session, [])
    t.same(labels(), [], 'killed before the commit')
    make(1)
    settle(session, [row('life', 'kek', 'tdes2')])
    t.same(labels(), ['life'], 'killed after the commit, settled by the next command')
    make(2)
    const two = [
      row('life', 'kek', 'tdes2', { state: 'previous' }),
      row('life', 'kek', 'tdes2', { generation: 2 }),
    ]
    settle(session, two)
    settle(session, two)
    t.same(labels(), ['life', 'life@previous'])
    settle(session, two.map((key) => ({ ...key, state: 'retired' as const })))
    t.same(labels(), [])
    t.equal(keptKeys(session).length, others, 'other keys are left alone')
    session.close()
  })

  t.test(`${token}: a key block of a peer is opened in every version that the token can serve`, async (t) => {
    const session = TokenSession.open(address)
    const keks = { tdes2: ROWS[0]!.sum, aes256: ROWS[3]!.sum }
    const labels = { tdes2: 'sum.0', aes256: 'sum.3' }
    const key = Buffer.from('89E88CF7931444F334BD7547FC3F380C', 'hex')
    for (const version of ['A', 'B', 'C', 'D', 'E'] as const) {
      const kind = version === 'D' || version === 'E' ? 'aes256' : 'tdes2'
      const header = buildKeyBlockHeader(
        { version, usage: 'P0', algorithm: 'T', mode: 'B', exportability: 'E' },
      )
      const block = wrapKeyBlock(
        keyBlockKeys(version, Buffer.from(keks[kind], 'hex'), softwareCipher), header, key,
      )
      const open = (): string => openBlock(
        session, protectionKey(session, labels[kind], 'kek'), block, 'pin',
      ).kcv
      if ((version === 'A' || version === 'C') && !inToken) t.throws(
        open, { message: /which this token does not make/ },
      )
      else t.equal(open(), kcvOf('tdes2', key.toString('hex')), `version ${version}`)
    }
    const protection = protectionKey(session, 'sum.3', 'kek')
    const sealed = sealBlock(
      session, protection, 'mac', 'tdes2', key, { exportability: 'N', label: 'a.mac' },
    )
    t.match(sealed, /^D\d{4}M3TC00N\d\d00LB/)
    t.equal(openBlock(session, protection, sealed, 'mac').kcv, kcvOf('tdes2', key.toString('hex')))
    session.close()
  })

  t.test(`${token}: the audit's signing key stays in the token and its signatures hold`, async (t) => {
    const session = TokenSession.open(address)
    const signer = auditSigner(session)
    const point = makeCheckpoint(signer, { seq: 7, hash: 'ab'.repeat(32) }, FIRST_PREVIOUS, 1)
    t.ok(signatureHolds(point))
    t.notOk(signatureHolds({ ...point, seq: 8 }))
    t.equal(auditSigner(session).publicKey, auditPublicKey(session), 'made once')
    session.close()
  })
}
