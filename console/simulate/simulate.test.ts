// `switchyard simulate` as a real command: wrong usage, and a scheme that lives and
// ends as it must.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

import { childEnvironment } from '../../config/load.ts'
import { provisionDemonstration } from '../../hsm/demonstration.ts'
import { findModule } from '../../hsm/pkcs11/module-path.ts'

const LAUNCHER = fileURLToPath(new URL('../../bin/switchyard.js', import.meta.url))

const home = mkdtempSync(join(tmpdir(), 'switchyard-simulate-'))
const environment = childEnvironment({ SWITCHYARD_HOME: home })
t.teardown(() => rmSync(home, { recursive: true, force: true }))

function run(...words: string[]): { code: number | null; out: string; talk: string } {
  const options = { env: environment, encoding: 'utf8', timeout: 20_000 } as const
  const done = spawnSync(process.execPath, [LAUNCHER, 'simulate', ...words], options)
  return { code: done.status, out: done.stdout, talk: done.stderr }
}

void t.test('wrong usage is one line on stderr and exit code 2', (test) => {
  const rows = [
    { name: 'rule without action', words: ['visa', '--rule', 'amount=1'], talk: /no action/ },
    {
      name: 'unknown card',
      words: ['pos', '--card', 'gold'],
      talk: /no card 'gold'; known are own-1/,
    },
    {
      name: 'amount with three places',
      words: ['pos', '--amount', '1.234'],
      talk: /such as 12.50/,
    },
    { name: 'address without port', words: ['atm', '--connect', 'localhost'], talk: /host:port/ },
    {
      name: 'unknown scheme to tell',
      words: ['tell', 'amex', 'status'],
      talk: /no scheme simulator/,
    },
  ]
  for (const row of rows) {
    const { code, out, talk } = run(...row.words)
    test.equal(code, 2, row.name)
    test.match(talk, row.talk, row.name)
    test.equal(talk.trimEnd().split('\n').length, 1, `${row.name}: one line`)
    test.equal(out, '')
  }
  test.end()
})

void t.test(
  'without demonstration keys or a running simulator it says what to do, exit code 1',
  (test) => {
    test.match(run('pos'), { code: 1, talk: /run npm start once/ })
    test.match(run('tell', 'visa', 'status'), { code: 1, talk: /is npm start running/ })
    test.end()
  },
)

/** Resolves when the child says that it is ready, rejects when it ends before. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('message', () => resolve())
    child.once('exit', (code) => reject(new Error(`ended with ${code}`)))
  })
}

void t.test(
  'a scheme reads its rules again on SIGHUP and ends when its parent lets go',
  async (test) => {
    const module = findModule()
    if (module === null) throw new Error('SoftHSM is not installed; run: sh scripts/setup.sh')
    await provisionDemonstration({ home, module })
    const rules = join(home, 'faults.yaml')
    writeFileSync(rules, '- amount=1:silent\n')
    const words = ['simulate', 'visa', '--listen', '127.0.0.1:0', '--rules', rules]
    const child = spawn(process.execPath, [LAUNCHER, ...words], {
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    test.teardown(() => child.kill('SIGKILL'))
    let talk = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      talk += text
    })
    await ready(child)
    const listed = (): unknown => JSON.parse(run('tell', 'visa', 'list').out)
    test.strictSame(listed(), { rules: [{ rule: 'amount=1:silent', used: 0 }] })

    const said = async (text: RegExp): Promise<void> => {
      while (!text.test(talk)) await new Promise((resolve) => child.stderr?.once('data', resolve))
    }
    writeFileSync(rules, '- amount=1:explode\n')
    child.kill('SIGHUP')
    await said(/rules unchanged: .*explode/)
    test.match(
      listed(),
      { rules: [{ rule: 'amount=1:silent' }] },
      'a file with a mistake changes nothing',
    )
    writeFileSync(rules, '- amount=2:drop\n')
    child.kill('SIGHUP')
    await said(/1 rules in force/)
    test.match(listed(), { rules: [{ rule: 'amount=2:drop' }] })

    const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)))
    child.disconnect()
    test.equal(await ended, 0)
  },
)
