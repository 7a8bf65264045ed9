// Officers and approvals in a real terminal: two people, exact payloads, once, in time.
import t from 'tap'
import { both, Office, PASSPHRASE, signsIn, TWO } from './office-for-tests.ts'
import type { Name } from './office-for-tests.ts'
import type { TerminalRun } from './terminal-for-tests.ts'

const office = await Office.open(false)
t.teardown(() => office.close())

t.test('two officers add themselves; a third needs them both', async (t) => {
  for (const name of ['alice', 'bob'] as const) {
    const run = office.terminal('keys', 'officers', 'add', name)
    await signsIn(run, name)
    t.equal(await run.end(), 0, run.screen)
    t.notMatch(run.screen, PASSPHRASE[name])
  }
  const alone = office.terminal('keys', 'officers', 'add', 'carol', '--role', 'auditor')
  await alone.answer('New passphrase of carol: ', PASSPHRASE.carol)
  await alone.answer('The same again: ', PASSPHRASE.carol)
  t.equal(await alone.end(), 2, 'nobody proposed')
  t.match(alone.screen, 'who asks for this?')
  const run = office.terminal('keys', 'officers', 'add', 'carol', '--role', 'auditor', ...TWO)
  await signsIn(run, 'carol')
  await both(run)
  t.equal(await run.end(), 0, run.screen)
  t.match(office.plain('keys', 'officers', 'list').out, /carol +auditor/)
})

t.test('acting alone, a wrong role and a wrong passphrase are refused', async (t) => {
  const self = office.terminal(
    'keys', 'generate', 'x.cvk', '--usage', 'cvk', '--officer', 'alice', '--with', 'alice',
  )
  t.equal(await self.end(), 1)
  t.match(self.screen, 'alice cannot do this alone')
  const auditor = office.terminal(
    'keys', 'generate', 'x.cvk', '--usage', 'cvk', '--officer', 'carol',
  )
  await signsIn(auditor, 'carol')
  t.equal(await auditor.end(), 1)
  t.match(auditor.screen, "officer 'carol' is no custodian")
  const wrong = office.terminal('keys', 'generate', 'x.cvk', '--usage', 'cvk', '--officer', 'alice')
  for (let tried = 0; tried < 3; tried++) await wrong.answer(
    'Passphrase of alice: ', 'not the one at all',
  )
  t.equal(await wrong.end(), 1)
  t.match(office.plain('audit', 'list').out, 'officer.login_failed')
  const noTerminal = office.plain(
    'keys', 'generate', 'x.cvk', '--usage', 'cvk', '--officer', 'alice', '--dry-run',
  )
  t.match(noTerminal.out, 'nothing changed')
})

async function proposed(...args: string[]): Promise<string> {
  const run = office.terminal(...args, '--officer', 'alice')
  await signsIn(run, 'alice')
  await run.see('proposed as ')
  await run.end()
  return /proposed as ([a-z2-7]{8})/.exec(run.screen)?.[1] ?? ''
}

async function approvedBy(name: Name, id: string): Promise<TerminalRun> {
  const run = office.terminal('keys', 'approvals', 'approve', id, '--officer', name)
  await signsIn(run, name)
  return run
}

const GENERATE = ['keys', 'generate', 'issuer.cvk', '--usage', 'cvk']

t.test('an approval: not by its proposer, for this payload only, once, and not after 15 minutes', async (t) => {
  const id = await proposed(...GENERATE)
  const own = await approvedBy('alice', id)
  await own.answer('type approve or reject: ', 'approve')
  t.equal(await own.end(), 1)
  t.match(own.screen, 'you proposed')
  const early = office.terminal(...GENERATE, '--officer', 'alice', '--approval', id)
  await signsIn(early, 'alice')
  t.equal(await early.end(), 1)
  t.match(early.screen, 'waits for another officer')
  const bob = await approvedBy('bob', id)
  await bob.answer('type approve or reject: ', 'approve')
  t.equal(await bob.end(), 0, bob.screen)
  const other = office.terminal(
    'keys', 'generate', 'other.cvk', '--usage', 'cvk', '--officer', 'alice', '--approval', id,
  )
  await signsIn(other, 'alice')
  t.equal(await other.end(), 1)
  t.match(other.screen, 'is for something else')
  const done = office.terminal(...GENERATE, '--officer', 'alice', '--approval', id)
  await signsIn(done, 'alice')
  t.equal(await done.end(), 0, done.screen)
  t.same(office.tokenLabels(), ['issuer.cvk', 'issuer.cvk#single'])
  const replay = office.terminal(
    'keys', 'retire', 'issuer.cvk', '--officer', 'alice', '--approval', id,
  )
  await signsIn(replay, 'alice')
  t.equal(await replay.end(), 1)
  t.match(replay.screen, 'an approval serves once')
  const late = await proposed('keys', 'rotate', 'issuer.cvk')
  await office.superuser(`UPDATE approval SET proposed_at = proposed_at - interval '16 minutes',
     expires_at = expires_at - interval '16 minutes' WHERE id = '${late}'`)
  const expired = await approvedBy('bob', late)
  await expired.answer('type approve or reject: ', 'approve')
  t.equal(await expired.end(), 1)
  t.match(expired.screen, 'has expired after 15 minutes')
})

