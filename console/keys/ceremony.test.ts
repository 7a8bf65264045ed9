// Key ceremonies in a real terminal: components unseen, check values, nothing left of a half-done
// one, and what is changed by hand afterwards found.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { readCheckpoints } from '../../audit/checkpoint-file.ts'
import { readDatabaseCheckpoints, readEvents, readHead } from '../../audit/store.ts'
import { verifyChain } from '../../audit/verify.ts'
import { tdesCipher } from '../../hsm/algorithms/software-ciphers.ts'
import { TokenSession } from '../../hsm/pkcs11/session.ts'
import { sql } from '../../switch/journal/database-for-tests.ts'
import {
  both,
  C1,
  C2,
  component,
  kcvOf,
  Office,
  PASSPHRASE,
  signsIn,
  SUM,
  TWO,
} from './office-for-tests.ts'

const office = await Office.open(true)
t.teardown(() => office.close())

t.test('a ceremony by two officers: no component is shown, the key is in the token', async (t) => {
  const run = office.terminal('keys', 'ceremony', 'cups.zmk', '--usage', 'kek', ...TWO)
  await both(run)
  await component(run, 'alice', C1)
  await run.answer('Press Enter', '')
  await run.see('component 2 of 2')
  await run.answer('Your name as an officer: ', 'alice')
  await run.see('alice brought a component already')
  await run.answer('Your name as an officer: ', 'bob')
  await signsIn(run, 'bob')
  await run.answer('Component: ', C2)
  await run.answer('(6 hex digits): ', '000000')
  await run.see('NOT that of what you typed')
  await run.answer('Component: ', 'not hex at all')
  await run.see('That was not 32 hex digits')
  await run.answer('Component: ', C2.toLowerCase())
  await run.answer('(6 hex digits): ', kcvOf(C2).toLowerCase())
  await run.answer('Press Enter', '')
  await run.see(`Check value of the whole key cups.zmk: ${kcvOf(SUM)}`)
  await run.answer('Type cups.zmk to keep the key', 'cups.zmk')
  t.equal(await run.end(), 0, run.screen)
  const bare = run.screen.replace(/[\s-]/g, '').toUpperCase()
  for (const hex of [C1, C2, SUM]) t.notOk(bare.includes(hex), 'not on the screen')
  t.notOk(run.screen.includes(PASSPHRASE.alice) || run.screen.includes(PASSPHRASE.bob))
  t.match(run.screen, /component 2 +brought by bob/)
  const transcript = readdirSync(join(office.home, 'ceremonies')).map(
    (name) => readFileSync(join(office.home, 'ceremonies', name), 'utf8'),
  ).join()
  t.match(transcript, kcvOf(SUM))
  t.same(office.tokenLabels(), ['cups.zmk'])
  const session = TokenSession.open(office.bank)
  const [key] = session.findKeys('cups.zmk')
  const block = session.ecb('encrypt', key!, false, Buffer.alloc(16, 7))
  session.close()
  t.same(Buffer.from(block), Buffer.from(tdesCipher(Buffer.from(SUM, 'hex')).encryptEcb(Buffer.alloc(16, 7))))
})

t.test('kill -9 in the middle of a ceremony leaves no key and no object', async (t) => {
  const run = office.terminal('keys', 'ceremony', 'lost.zmk', '--usage', 'kek', ...TWO)
  await both(run)
  await component(run, 'alice', C1)
  await run.answer('Press Enter', '')
  await run.answer('Your name as an officer: ', 'bob')
  await signsIn(run, 'bob')
  await run.see('Component: ')
  run.kill()
  await run.end()
  t.same(office.tokenLabels(), ['cups.zmk'])
  t.notMatch(office.plain('keys', 'list', '--json').out, 'lost.zmk')
  t.equal(office.plain('audit', 'checkpoint').code, 0)
  const verified = office.plain('audit', 'verify')
  t.equal(verified.code, 0, verified.out)
})

t.test('a component that is wrong three times, or a Ctrl-C, ends the ceremony with nothing kept', async (t) => {
  const run = office.terminal('keys', 'ceremony', 'bad.zmk', '--usage', 'kek', ...TWO)
  await both(run)
  await component(run, 'alice', C1, 'AAAAAA')
  for (let again = 0; again < 2; again++) {
    await run.answer('Component: ', C1)
    await run.answer('(6 hex digits): ', 'BBBBBB')
  }
  t.equal(await run.end(), 1)
  t.match(run.screen, 'not accepted three times')
  const ended = office.terminal('keys', 'ceremony', 'bad.zmk', '--usage', 'kek', ...TWO)
  await both(ended)
  await ended.answer('Your name as an officer: ', '\u0003')
  t.equal(await ended.end(), 1)
  t.same(office.tokenLabels(), ['cups.zmk'])
})

const SPOILED: ReadonlyArray<{ name: string; spoil: string; restore: string }> = [
  { name: 'an event edited', spoil: `UPDATE audit_event SET actor = 'bob' WHERE seq = 5`, restore: `UPDATE audit_event SET actor = 'alice' WHERE seq = 5` },
  { name: 'an officer put in by hand', spoil: `INSERT INTO officer (name, roles, public_key) VALUES ('mallory', '{approver,custodian}', decode(repeat('ab', 32), 'hex'))`, restore: `DELETE FROM officer WHERE name = 'mallory'` },
  { name: 'a role changed', spoil: `UPDATE officer SET roles = '{approver}' WHERE name = 'bob'`, restore: `UPDATE officer SET roles = '{approver,custodian}' WHERE name = 'bob'` },
  { name: 'a key of the inventory changed', spoil: `UPDATE key_inventory SET kcv = '000000' WHERE name = 'cups.zmk'`, restore: `UPDATE key_inventory SET kcv = '${kcvOf(SUM)}' WHERE name = 'cups.zmk'` },
  { name: 'an approval set back', spoil: `UPDATE approval SET state = 'approved', used_at = NULL, used_xid = NULL WHERE command = 'keys.ceremony' AND id = (SELECT approval FROM ceremony_part LIMIT 1)`, restore: `UPDATE approval SET state = 'used', used_at = decided_at, used_xid = '1' WHERE command = 'keys.ceremony' AND id = (SELECT approval FROM ceremony_part LIMIT 1)` },
  { name: 'a component given to another officer', spoil: `UPDATE ceremony_part SET officer = 'alice2' WHERE part = 2`, restore: `UPDATE ceremony_part SET officer = 'bob' WHERE part = 2` },
]

t.test('what somebody changes in the database by hand is found', async (t) => {
  const before = office.plain('audit', 'verify')
  t.equal(before.code, 0, before.out)
  for (const { name, spoil, restore } of SPOILED) {
    await office.superuser(spoil)
    t.equal(office.plain('audit', 'verify', '--json').code, 1, name)
    await office.superuser(restore)
  }
  const report = JSON.parse(office.plain('audit', 'verify', '--json').out) as {
    ok: boolean; unsigned: number,
  }
  t.equal(report.ok, true)
  t.equal(report.unsigned, 0, 'every command signed what it did')
})

const EVENTS = 'audit_event'
/** Each is a superuser's work behind every trigger; the log is put back as it was in between. */
const LOG_SPOILED: ReadonlyArray<readonly [name: string, text: string]> = [
  ['deleted in the middle', `DELETE FROM ${EVENTS} WHERE seq = 6`],
  ['deleted, and the rest moved up', `DELETE FROM ${EVENTS} WHERE seq = 6; UPDATE ${EVENTS} SET seq = seq + 999 WHERE seq > 6; UPDATE ${EVENTS} SET seq = seq - 1000 WHERE seq > 999`],
  ['two swapped', `UPDATE ${EVENTS} SET seq = 1013 - seq WHERE seq IN (6, 7); UPDATE ${EVENTS} SET seq = seq - 1000 WHERE seq > 1000`],
  ['inserted', `UPDATE ${EVENTS} SET seq = seq + 1001 WHERE seq > 6; UPDATE ${EVENTS} SET seq = seq - 1000 WHERE seq > 1000; INSERT INTO ${EVENTS} SELECT 7, at_ms, actor, act, subject, detail, previous, sha256(hash) FROM ${EVENTS} WHERE seq = 6`],
  ['truncated with its head', `DELETE FROM ${EVENTS} WHERE seq > 6; UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM ${EVENTS} WHERE seq = 6)`],
  ['truncated with head and checkpoints', `DELETE FROM ${EVENTS} WHERE seq > 6; DELETE FROM audit_checkpoint WHERE seq > 6; UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM ${EVENTS} WHERE seq = 6)`],
  ['a time', `UPDATE ${EVENTS} SET at_ms = at_ms + 1 WHERE seq = 6`],
  ['a detail', `UPDATE ${EVENTS} SET detail = replace(detail, '"', ' "') WHERE seq = 3`],
  ['a subject', `UPDATE ${EVENTS} SET subject = subject || 'x' WHERE seq = 7`],
  ['a hash', `UPDATE ${EVENTS} SET hash = sha256(hash) WHERE seq = 6`],
  ['the last hash', `UPDATE ${EVENTS} SET hash = sha256(hash) WHERE seq = (SELECT max(seq) FROM ${EVENTS})`],
  ['a checkpoint deleted', `DELETE FROM audit_checkpoint WHERE seq = (SELECT max(seq) FROM audit_checkpoint)`],
  ['a signature', `UPDATE audit_checkpoint SET signature = sha256('a') || sha256('b')`],
  ['everything', `DELETE FROM audit_checkpoint; DELETE FROM ${EVENTS}; UPDATE audit_head SET seq = 0, hash = decode(repeat('00', 32), 'hex')`],
]

/** What `audit verify` finds in chain and checkpoints, without starting a process. */
async function logFindings(client: pg.Client): Promise<unknown[]> {
  const file = readCheckpoints(join(office.home, 'audit', 'checkpoints.jsonl'))
  return verifyChain({
    events: await readEvents(client),
    head: await readHead(client),
    checkpoints: await readDatabaseCheckpoints(client),
    fileCheckpoints: file,
    trustedKey: file?.[0]?.publicKey ?? null,
  })
}

t.test('every kind of change to the log itself, made in SQL, is found', async (t) => {
  const tables = ['audit_event', 'audit_head', 'audit_checkpoint']
  const keep = tables.map((name) => `CREATE TABLE kept_${name} AS TABLE ${name}`)
  await office.superuser(keep.join('; '))
  const client = new pg.Client({ connectionString: office.database.url })
  await client.connect()
  const back = ['audit_checkpoint', 'audit_event', 'audit_head']
    .map((name) => `DELETE FROM ${name}; INSERT INTO ${name} SELECT * FROM kept_${name}`)
    .join('; ')
  for (const [name, text] of LOG_SPOILED) {
    await office.superuser(text)
    t.not((await logFindings(client)).length, 0, name)
    await office.superuser(back)
  }
  t.same(await logFindings(client), [], 'put back as it was')
  await client.end()
  t.equal(office.plain('audit', 'verify').code, 0)
})

t.test('no passphrase, component or PIN is in any file or row', async (t) => {
  const rows = await sql<{ text: string }>(
    office.database.url, `SELECT string_agg(detail, ' ') AS text FROM audit_event`,
  )
  const texts = [
    rows[0]?.text ?? '',
    readFileSync(join(office.home, 'audit', 'checkpoints.jsonl'), 'utf8'),
  ]
  for (const name of readdirSync(join(office.home, 'officers'))) texts.push(
    readFileSync(join(office.home, 'officers', name), 'utf8'),
  )
  for (const secret of [...Object.values(PASSPHRASE), C1, C2, SUM, office.bank.pin]) {
    for (const text of texts) t.notOk(text.toLowerCase().includes(secret.toLowerCase()))
  }
  t.ok(existsSync(join(office.home, 'officers', 'alice.json')))
})
