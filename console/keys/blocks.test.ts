// Rotation, retirement, key blocks and cryptograms of officers' commands, in a real terminal.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { tdesCipher } from '../../hsm/algorithms/software-ciphers.ts'
import { TokenSession } from '../../hsm/pkcs11/session.ts'
import { TokenKeys } from '../../hsm/pkcs11/token-keys.ts'
import { sql } from '../../switch/journal/database-for-tests.ts'
import { both, bothDo, C1, C2, component, kcvOf, Office, SUM, TWO } from './office-for-tests.ts'

const office = await Office.open(true)
t.teardown(() => office.close())

t.test('a ceremony makes the key-encrypting key of the peer', async (t) => {
  const run = office.terminal('keys', 'ceremony', 'cups.zmk', '--usage', 'kek', ...TWO)
  await both(run)
  for (const [name, hex] of [['alice', C1], ['bob', C2]] as const) {
    await component(run, name, hex)
    await run.answer('Press Enter', '')
  }
  await run.answer('Type cups.zmk to keep the key', 'cups.zmk')
  t.equal(await run.end(), 0, run.screen)
  t.match(run.screen, `check value  ${kcvOf(SUM)}`)
})

t.test('a generated key lives in the token', async (t) => {
  await bothDo(office.terminal('keys', 'generate', 'issuer.cvk', '--usage', 'cvk', ...TWO))
  t.same(office.tokenLabels(), ['cups.zmk', 'issuer.cvk', 'issuer.cvk#single'])
})

t.test('rotation keeps the generation before, retirement destroys; verify agrees all the time', async (t) => {
  const rotate = office.terminal('keys', 'rotate', 'issuer.cvk', ...TWO)
  await both(rotate)
  t.equal(await rotate.end(), 0, rotate.screen)
  t.ok(office.tokenLabels().includes('issuer.cvk@previous'))
  const seen = office.plain('keys', 'verify')
  t.equal(seen.code, 0, seen.out + seen.err)
  t.match(seen.out, /ok +issuer\.cvk +2 +check value [0-9A-F]{6}, sensitive/)
  const retire = office.terminal('keys', 'retire', 'issuer.cvk', ...TWO)
  await both(retire)
  await retire.answer('Type its name to go on: ', 'issuer.cvk')
  t.equal(await retire.end(), 0, retire.screen)
  t.same(office.tokenLabels(), ['cups.zmk'])
  t.equal(office.plain('keys', 'verify').code, 0)
})

t.test('a key block goes out under a KEK and comes in again; refusals say why', async (t) => {
  const make = office.terminal(
    'keys', 'generate', 'visa.zpk', '--usage', 'pin', '--exportable', ...TWO,
  )
  await both(make)
  t.equal(await make.end(), 0, make.screen)
  const out = join(office.home, 'zpk.txt')
  const send = office.terminal(
    'keys', 'export', 'visa.zpk', '--under', 'cups.zmk', '--out', out, ...TWO,
  )
  await both(send)
  t.equal(await send.end(), 0, send.screen)
  const block = readFileSync(out, 'latin1').trim()
  t.match(block, /^B\d{4}P0TB00N0000[0-9A-F]+$/)
  const take = office.terminal(
    'keys', 'import', 'copy.zpk', '--block', out, '--under', 'cups.zmk', '--usage', 'pin', ...TWO,
  )
  await both(take)
  t.equal(await take.end(), 0, take.screen)
  const keys =
    JSON.parse(office.plain('keys', 'list', '--json').out) as Array<{ name: string; kcv: string }>
  const kcv = (name: string): string => keys.find((key) => key.name === name)?.kcv ?? name
  t.equal(kcv('copy.zpk'), kcv('visa.zpk'))
  t.equal(office.plain('keys', 'verify').code, 0)
  const changed = join(office.home, 'changed.txt')
  const rows = [
    { text: block.replace(/.$/, (c) => (c === '0' ? '1' : '0')), usage: 'pin', says: /authenticator of the key block is wrong/ },
    { text: block.replace('P0TB00N', 'P0TB00E'), usage: 'pin', says: /authenticator of the key block is wrong/ },
    { text: block, usage: 'mac', says: /key usage is P0; a key for 'mac' has M3/ },
    { text: block.replace('P0TB', 'P0TX'), usage: 'pin', says: /mode of use is X/ },
    { text: block.slice(0, -2), usage: 'pin', says: /a length in the key block is wrong/ },
    { text: block.replace(/^B/, 'D'), usage: 'pin', says: /has version D, 'cups.zmk' is 3DES/ },
    { text: block.replace(/^B/, 'A'), usage: 'pin', says: /which this token does not make/ },
  ]
  for (const { text, usage, says } of rows) {
    writeFileSync(changed, text)
    const refused = office.plain(
      'keys',
      'import',
      'no.zpk',
      '--block',
      changed,
      '--under',
      'cups.zmk',
      '--usage',
      usage,
      '--officer',
      'alice',
    )
    t.equal(refused.code, 1)
    t.match(refused.err, says)
    t.notOk(refused.err.includes(block.slice(20, 40)), 'no cryptogram in the error')
  }
  const again = office.terminal('keys', 'export', 'copy.zpk', '--under', 'cups.zmk', ...TWO)
  t.equal(await again.end(), 1)
  t.match(again.screen, 'is not exportable')
})

t.test('a key made for a peer comes out as its cryptogram under the KEK', async (t) => {
  const run = office.terminal(
    'keys', 'exchange', 'cups.mak', '--usage', 'mac', '--kek', 'cups.zmk', ...TWO,
  )
  await both(run)
  t.equal(await run.end(), 0, run.screen)
  const [, cryptogram = ''] = /cryptogram under cups\.zmk +([0-9A-F]{32})/.exec(run.screen) ?? []
  const clear = tdesCipher(Buffer.from(SUM, 'hex')).decryptEcb(Buffer.from(cryptogram, 'hex'))
  t.match(run.screen, `check value ${kcvOf(Buffer.from(clear).toString('hex'))}`)
})


t.test('a key of the peer comes in under the KEK; a wrong check value keeps nothing', async (t) => {
  const clear = '89E88CF7931444F334BD7547FC3F380C'
  const kek = tdesCipher(Buffer.from(SUM, 'hex'))
  const file = join(office.home, 'pik.txt')
  const wrapped = kek.encryptEcb(Buffer.from(clear, 'hex'))
  writeFileSync(file, `${Buffer.from(wrapped).toString('hex')}\n`)
  const words = ['keys', 'exchange', 'cups.pik', '--usage', 'pin', '--kek', 'cups.zmk']
  const wrong = office.terminal(...words, '--received', file, '--kcv', 'ABCDEF', ...TWO)
  await both(wrong)
  t.equal(await wrong.end(), 1)
  t.match(wrong.screen, 'the check value is not that of the key')
  t.notMatch(office.plain('keys', 'list').out, 'cups.pik')
  const right = office.terminal(...words, '--received', file, '--kcv', kcvOf(clear), ...TWO)
  t.match(await bothDo(right), `check value ${kcvOf(clear)}`)
  t.equal(office.plain('keys', 'verify', 'cups.pik').code, 0)
  t.equal(office.plain('audit', 'verify').code, 0)
})

t.test('the running switch opens what officers stored, for its purpose and under its name only', async (t) => {
  const text = `SELECT block FROM key_block WHERE name = 'cups.pik'`
  const [row] = await sql<{ block: string }>(office.database.url, text)
  const session = TokenSession.open(office.bank)
  const keys = new TokenKeys(session, {
    ...{ kbpk: 'demo.kbpk', vault: 'demo.vault', clearPinAllowed: false, ibm3624: {} },
    ...{ deriveInToken: true, deriveBlockKeysInToken: true, translateInToken: false },
  })
  const ref = { name: 'cups.pik', block: row?.block ?? '' }
  const zeros = keys.open(ref, 'pin', 'encrypt').pair.encryptEcb(new Uint8Array(8))
  const want = kcvOf('89E88CF7931444F334BD7547FC3F380C')
  t.equal(Buffer.from(zeros.subarray(0, 3)).toString('hex').toUpperCase(), want)
  t.throws(() => keys.open(ref, 'mac', 'generate'), { message: 'key_usage' })
  t.throws(() => keys.open({ ...ref, name: 'visa.pik' }, 'pin', 'encrypt'), { message: 'key_usage' })
  session.close()
})
