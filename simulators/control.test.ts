// The desk of a scheme simulator, through its real control socket.
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { systemClock } from '../switch/runtime/clock.ts'
import { BookFile, IssuerBook } from './book.ts'
import { ControlDesk } from './control.ts'
import { FaultRules } from './faults.ts'
import { controlPath } from './run.ts'
import { askControl, listenForControl } from './transport.ts'

async function desk(test: Test) {
  const home = mkdtempSync(join(tmpdir(), 'switchyard-desk-'))
  const rules = new FaultRules()
  const book = new IssuerBook(new BookFile(null, 'visa', Uint8Array.of(1), systemClock))
  const control = new ControlDesk({
    name: 'visa',
    book,
    rules,
    status: () => ({ ready: true }),
    renewKeys: () => false,
    acquirer: null,
  })
  const path = controlPath(home, 'visa')
  const listening = await listenForControl(path, (line) => control.handle(line))
  test.teardown(async () => {
    await listening.close()
    rmSync(home, { recursive: true, force: true })
  })
  const ask = async (command: string): Promise<unknown> =>
    JSON.parse(await askControl(path, command, systemClock, 5_000))
  return { ask, rules, path }
}

void t.test('words and JSON reach the same command', async (test) => {
  const { ask, rules } = await desk(test)
  test.strictSame(await ask('status'), { name: 'visa', ready: true })
  test.strictSame(await ask('{"do":"status"}'), { name: 'visa', ready: true })
  await ask('rule amount=9100:silent')
  await ask('{"do":"rule","rule":"amount=1:drop"}')
  test.strictSame(
    rules.list().map((one) => one.rule),
    ['amount=1:drop', 'amount=9100:silent'],
  )
  await ask('clear')
  test.strictSame(rules.list(), [])
  test.match(await ask('totals'), { approved: 0, net_minor: '0' })
  test.strictSame(await ask('find 632601000001'), { state: null })
})

void t.test('what makes no sense is refused with a reason and changes nothing', async (test) => {
  const { ask, rules } = await desk(test)
  const rows = [
    { name: 'unknown word', line: 'dance', why: /unknown command/ },
    { name: 'broken JSON', line: '{"do":', why: /JSON/ },
    { name: 'broken rule', line: 'rule amount=1', why: /no action/ },
    {
      name: 'an acquirer that is not there',
      line: '{"do":"originate","card":"own-1"}',
      why: /does not begin/,
    },
  ]
  for (const row of rows) test.match(await ask(row.line), { error: row.why }, row.name)
  test.strictSame(rules.list(), [])
})

void t.test('the control socket is for its owner only', async (test) => {
  const { path } = await desk(test)
  test.equal(statSync(path).mode & 0o777, 0o600)
})

void t.test(
  'a path too long for a socket is replaced by a short one that stays the same',
  (test) => {
    const deep = `/${'x'.repeat(120)}`
    test.ok(controlPath(deep, 'cups').length < 100)
    test.equal(controlPath(deep, 'cups'), controlPath(deep, 'cups'))
    test.not(controlPath(deep, 'cups'), controlPath(`${deep}y`, 'cups'))
    test.equal(controlPath('/h', 'cups'), '/h/simulators/cups.sock')
    test.end()
  },
)

void t.test('nobody at the socket is an error, not a wait', async (test) => {
  const asked = askControl('/nonexistent/visa.sock', 'status', systemClock, 5_000)
  await test.rejects(asked, /no simulator answers/)
})
