// A rehearsal in a real terminal, on a machine with nothing set up: it needs no switch, no database
// and no officers, and leaves nothing.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { TerminalRun } from './terminal-for-tests.ts'

const home = mkdtempSync(join(tmpdir(), 'switchyard-empty-'))
const scratch = mkdtempSync('/tmp/switchyard-scratch-') // short: a server socket lies below it
t.teardown(() => {
  for (const path of [home, scratch]) rmSync(path, { recursive: true, force: true })
})

t.test('a rehearsal goes from practice officers to a transcript and leaves nothing', async (t) => {
  const run = new TerminalRun(
    ['keys', 'ceremony', '--rehearsal'], { SWITCHYARD_HOME: join(home, 'none'), TMPDIR: scratch },
  )
  for (const name of ['anna', 'ben']) {
    await run.answer(`New passphrase of ${name}: `, `${name} practises here`)
    await run.answer('The same again: ', `${name} practises here`)
  }
  await run.see('Practice components')
  await run.answer('then press Enter', '')
  const shown = [...run.screen.matchAll(/envelope \d +([0-9A-F ]{39}) +check value ([0-9A-F]{6})/g)]
  t.equal(shown.length, 2)
  await run.answer('Passphrase of anna: ', 'anna practises here')
  await run.answer('Passphrase of ben: ', 'ben practises here')
  await run.answer('type approve or reject: ', 'approve')
  for (const [at, name] of ['anna', 'ben'].entries()) {
    await run.answer('Your name as an officer: ', name)
    await run.answer(`Passphrase of ${name}: `, `${name} practises here`)
    await run.answer('Component: ', shown[at]?.[1] ?? '')
    await run.answer('(6 hex digits): ', shown[at]?.[2] ?? '')
    await run.answer('Press Enter', '')
  }
  await run.answer('Type practice.kek to keep the key', 'practice.kek')
  t.equal(await run.end(), 0, run.screen)
  t.match(run.screen, 'REHEARSAL, throw-away token')
  t.match(run.screen, 'everything of it was removed again')
  t.notOk(existsSync(join(home, 'none')))
  t.same(readdirSync(scratch), [])
})
