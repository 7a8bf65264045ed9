// Dual control where it cannot be got around by a program: the database's own constraints, tried
// with plain SQL, and the functions of this folder over them. Key files: passphrase, mode, format.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { addKey } from '../ceremony/inventory.ts'
import type { NewKey } from '../ceremony/inventory.ts'
import { startServer } from '../../switch/journal/database-for-tests.ts'
import { migrate } from '../../switch/journal/migrate.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { seededRandom, systemRandom } from '../../switch/runtime/random.ts'
import { readEvents, readDatabaseCheckpoints, readHead } from '../../audit/store.ts'
import { replay } from '../../audit/replay.ts'
import { readTables } from '../../audit/tables.ts'
import { verifyChain } from '../../audit/verify.ts'
import { approvalOf, decide, demandApproved, propose, useApproval } from './approvals.ts'
import type { Payload } from './approvals.ts'
import { createKeyFile, openKeyFile } from './key-file.ts'
import { addOfficer, additionPayload, authenticate } from './register.ts'
import { foundOfficer, removeOfficer } from './register.ts'
import { signerOf } from './signer.ts'
import type { Signer } from './signer.ts'
import { transaction } from './transaction.ts'

const QUICK = 16_384 // scrypt's N
const directory = mkdtempSync(join(tmpdir(), 'switchyard-officers-'))
const server = await startServer()
const url = await server.newDatabase()
await migrate(url)
const sql = new pg.Client({ connectionString: url })
await sql.connect()
t.teardown(async () => {
  await sql.end()
  await server.stop()
  rmSync(directory, { recursive: true, force: true })
})

function person(name: string): Signer {
  const path = join(directory, `${name}.json`)
  const key = createKeyFile(path, name, Buffer.from(`the phrase of ${name}`), systemRandom, QUICK)
  return signerOf(key, systemClock, systemRandom)
}
const [alice, bob, carol, mallory] = ['alice', 'bob', 'carol', 'mallory'].map(person) as [
  Signer,
  Signer,
  Signer,
  Signer,
]
const PAYLOAD: Payload = { command: 'keys.generate', name: 'a.kek', usage: 'kek' }
const KEY: NewKey = {
  name: 'a.kek',
  usage: 'kek',
  kind: 'tdes2',
  kcv: '08D7B4',
  place: 'token',
  origin: 'generated',
  exportable: false,
}

async function approvedId(payload: Payload = PAYLOAD): Promise<string> {
  const id = await propose(sql, alice, payload, systemRandom)
  await decide(sql, bob, id, 'approved')
  return id
}

t.test('a key file opens with its passphrase only, is for its owner only, and is bound to its name', async (t) => {
  const path = join(directory, 'alice.json')
  t.equal(openKeyFile(path, Buffer.from('the phrase of alice')).publicKey, alice.publicKey)
  t.throws(() => openKeyFile(path, Buffer.from('the phrase of alicf')), { message: /does not open/ })
  t.throws(() => createKeyFile(path, 'alice', Buffer.from('x'), systemRandom, QUICK), { message: /is there already/ })
  const other = join(directory, 'other.json')
  writeFileSync(other, readFileSync(path, 'utf8').replace('"alice"', '"bobby"'), { mode: 0o600 })
  t.throws(() => openKeyFile(other, Buffer.from('the phrase of alice')), { message: /does not open/ })
  chmodSync(other, 0o644)
  t.throws(() => openKeyFile(other, Buffer.from('the phrase of alice')), { message: /chmod 600/ })
  writeFileSync(join(directory, 'broken.json'), '{}', { mode: 0o600 })
  t.throws(() => openKeyFile(join(directory, 'broken.json'), Buffer.from('x')), { message: /is no officer key file/ })
})

t.test('two found themselves; from the third on it takes two', async (t) => {
  await foundOfficer(sql, alice)
  await foundOfficer(sql, bob)
  await t.rejects(foundOfficer(sql, mallory), { message: 'this needs two officers' })
  const payload: Payload = { ...additionPayload('carol', ['auditor'], carol.publicKey) }
  const id = await propose(sql, alice, payload, systemRandom)
  await decide(sql, bob, id, 'approved')
  await addOfficer(sql, carol, ['auditor'], await demandApproved(sql, id, 'alice', payload))
  await t.rejects(propose(sql, carol, PAYLOAD, systemRandom), { message: 'the proposer is no custodian' })
  const open = await propose(sql, alice, PAYLOAD, systemRandom)
  await t.rejects(decide(sql, carol, open, 'approved'), { message: 'the approving officer is no approver' })
  await t.rejects(authenticate(sql, mallory), { message: "there is no officer 'mallory'" })
  const impostor: Signer = { ...mallory, name: 'alice' }
  await t.rejects(authenticate(sql, impostor), { message: /not the one of officer 'alice'/ })
})

t.test('an approval is used once, in the transaction of what it allows, for its own payload', async (t) => {
  const id = await approvedId()
  await t.rejects(demandApproved(sql, id, 'bob', PAYLOAD), { message: /was proposed by alice/ })
  await t.rejects(demandApproved(sql, id, 'alice', { ...PAYLOAD, name: 'b.kek' }), { message: /is for something else/ })
  const approved = await demandApproved(sql, id, 'alice', PAYLOAD)
  await t.rejects(transaction(sql, () => addKey(sql, KEY, 1, approved)), { message: 'this needs two officers' })
  await transaction(sql, async () => {
    await useApproval(sql, approved)
    await addKey(sql, KEY, 1, approved)
  })
  await t.rejects(transaction(sql, () => useApproval(sql, approved)), { message: /from used to used/ })
  await t.rejects(transaction(sql, () => addKey(sql, { ...KEY, name: 'c.kek' }, 1, approved)), { message: 'this needs two officers' })
  await t.rejects(demandApproved(sql, id, 'alice', PAYLOAD), { message: /serves once/ })
})

const SIGNATURE = `decode(repeat('ab', 64), 'hex')`
const ATTACKS: ReadonlyArray<{ name: string; text: (id: string) => string; says: RegExp }> = [
  { name: 'the proposer approves by SQL', text: (id) => `UPDATE approval SET state = 'approved', decider = 'alice', decision = 'x', decision_signature = ${SIGNATURE} WHERE id = '${id}'`, says: /two_officers/ },
  { name: 'an approval without a decision', text: (id) => `UPDATE approval SET state = 'approved', decider = 'bob' WHERE id = '${id}'`, says: /decided_whole/ },
  { name: 'a proposal that is used at once', text: (id) => `UPDATE approval SET state = 'used' WHERE id = '${id}'`, says: /does not go from proposed to used/ },
  { name: 'a payload changed', text: (id) => `UPDATE approval SET payload = '{}', payload_sha256 = sha256('{}') WHERE id = '${id}'`, says: /what was proposed does not change/ },
  { name: 'more time', text: (id) => `UPDATE approval SET expires_at = expires_at + interval '1 hour' WHERE id = '${id}'`, says: /what was proposed does not change/ },
  { name: 'a proposal with a hash of something else', text: () => `INSERT INTO approval (id, command, payload, payload_sha256, proposer, proposal, proposal_signature, proposed_at, expires_at, state) VALUES ('aaaaaaaa', 'keys.generate', 'x', sha256('y'), 'alice', 'p', ${SIGNATURE}, now(), now(), 'proposed')`, says: /approval_payload_sha256_check|check constraint/ },
  { name: 'an approval out of nothing', text: () => `INSERT INTO approval (id, command, payload, payload_sha256, proposer, proposal, proposal_signature, proposed_at, expires_at, state, decider) VALUES ('aaaaaaaa', 'keys.generate', 'x', sha256('x'), 'alice', 'p', ${SIGNATURE}, now(), now(), 'approved', 'bob')`, says: /begins as a proposal/ },
  { name: 'an approval deleted', text: (id) => `DELETE FROM approval WHERE id = '${id}'`, says: /never deleted/ },
  { name: 'a role given to oneself', text: () => `UPDATE officer SET roles = '{approver,custodian}' WHERE name = 'carol'`, says: /does not change/ },
  { name: 'an auditor with another role', text: () => `INSERT INTO officer (name, roles, public_key) VALUES ('x', '{approver,auditor}', decode(repeat('cd', 32), 'hex'))`, says: /two officers|auditor_alone/ },
  { name: 'an officer deleted', text: () => `DELETE FROM officer WHERE name = 'bob'`, says: /never deleted/ },
  { name: 'an officer removed without approval', text: (id) => `UPDATE officer SET removed_at = now(), removed_by = '${id}' WHERE name = 'bob'`, says: /two officers/ },
  { name: 'a key retired without approval', text: (id) => `UPDATE key_inventory SET state = 'retired', changed_by = '${id}'`, says: /two officers/ },
  { name: 'a key deleted', text: () => 'DELETE FROM key_inventory', says: /never deleted/ },
  { name: 'an audit event changed', text: () => `UPDATE audit_event SET actor = 'bob'`, says: /only added to/ },
  { name: 'an audit event deleted', text: () => 'DELETE FROM audit_event', says: /only added to/ },
  { name: 'the audit log emptied', text: () => 'TRUNCATE audit_event CASCADE', says: /only added to/ },
]

t.test('what one person tries with plain SQL is refused by the database', async (t) => {
  const id = await propose(sql, alice, PAYLOAD, systemRandom)
  for (const { name, text, says } of ATTACKS) {
    await t.rejects(sql.query(text(id)), { message: says }, name)
  }
  const row = `SELECT true AS forged FROM audit_event WHERE seq = 999`
  await sql.query(`INSERT INTO audit_event (seq, at_ms, actor, act, subject, detail,
       previous, hash)
     VALUES (999, 1, 'x', 'a.b', 's', '{}', sha256('x'), sha256('y'))`)
  t.same((await sql.query(row)).rows, [], 'number and hashes are the database’s own')
})

t.test('an approval that has expired moves no more', async (t) => {
  const [waiting, approved] = [await propose(sql, alice, PAYLOAD, systemRandom), await approvedId()]
  await sql.query(`BEGIN; SET LOCAL session_replication_role = replica;
    UPDATE approval SET proposed_at = proposed_at - interval '15 minutes 1 second',
      expires_at = expires_at - interval '15 minutes 1 second',
      decided_at = decided_at - interval '15 minutes'
    WHERE id IN ('${waiting}', '${approved}'); COMMIT`)
  t.equal((await approvalOf(sql, waiting)).expired, true)
  await t.rejects(decide(sql, bob, waiting, 'approved'), { message: /has expired/ })
  await t.rejects(sql.query(`UPDATE approval SET state = 'used' WHERE id = '${approved}'`), { message: /has expired/ })
  await sql.query(`BEGIN; SET LOCAL session_replication_role = replica;
    UPDATE approval SET state = 'rejected', decider = 'bob', decision = 'gone',
      decision_signature = ${SIGNATURE}, decided_at = proposed_at
    WHERE id = '${waiting}'; COMMIT`)
})

t.test('nobody can be removed so that no two remain who can act', async (t) => {
  const payload: Payload = { command: 'officers.remove', name: 'bob' }
  const id = await approvedId(payload)
  const approved = await demandApproved(sql, id, 'alice', payload)
  await t.rejects(removeOfficer(sql, 'bob', approved), { message: 'nobody could act any more' })
})

t.test('random sequences of two officers and an outsider never act with one person', async (t) => {
  const random = seededRandom('dual control 1')
  const people = [alice, bob, carol]
  let used = 0
  for (let n = 0; n < 60; n++) {
    const payload: Payload = { command: 'keys.generate', name: `r${n}.kek` }
    const [proposer, decider, user] = [0, 0, 0].map(() => people[random.below(3)]!) as [
      Signer,
      Signer,
      Signer,
    ]
    const verdict = random.below(4) === 0 ? 'rejected' : 'approved'
    const acted = await (async () => {
      const id = await propose(sql, proposer, payload, systemRandom)
      if (random.below(5) > 0) await decide(sql, decider, id, verdict)
      const approved = await demandApproved(sql, id, user.name, payload)
      await transaction(sql, async () => {
        await useApproval(sql, approved)
        await addKey(sql, { ...KEY, name: `r${n}.kek` }, 1, approved)
      })
      return true
    })().catch(() => false)
    const may =
      proposer !== decider && proposer !== carol &&
      decider !== carol && user === proposer &&
      verdict === 'approved'
    if (acted) used += 1
    t.ok(!acted || may, `${proposer.name} ${decider.name} ${verdict}`)
  }
  t.ok(used > 0, 'some were done')
})

t.test('the log of all this is whole and makes exactly these tables, but for what was done by hand', async (t) => {
  const [events, head, checkpoints] = [
    await readEvents(sql),
    await readHead(sql),
    await readDatabaseCheckpoints(sql),
  ]
  t.same(verifyChain({ events, head, checkpoints, fileCheckpoints: null, trustedKey: null }), [])
  const tables = await readTables(sql)
  const found = replay(events, tables).map(({ what }) => what)
  t.equal(found.length, 1, found.join('\n'))
  t.match(found[0], /approvals: row '[a-z2-7]{8}' is not as the log has it/)
})
