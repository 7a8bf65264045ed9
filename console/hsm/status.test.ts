// `switchyard hsm status` on a machine without demonstration tokens and with them, as a process.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { DEMONSTRATION_KEYS, provisionDemonstration } from '../../hsm/demonstration.ts'
import { findModule } from '../../hsm/pkcs11/module-path.ts'
import { childEnvironment } from '../../config/load.ts'

const STATUS = fileURLToPath(new URL('./status-test-run.ts', import.meta.url))
const home = mkdtempSync(join(tmpdir(), 'switchyard-status-'))
t.teardown(() => rmSync(home, { recursive: true, force: true }))

function status(...words: string[]): { out: string; err: string; code: number | null } {
  const env = childEnvironment({ SWITCHYARD_HOME: home })
  const run = spawnSync(process.execPath, [STATUS, ...words], { env, encoding: 'utf8' })
  return { out: run.stdout, err: run.stderr, code: run.status }
}

t.test('without a token it says how to get one', async (t) => {
  const { out, err, code } = status()
  t.equal(code, 1)
  t.equal(out, '')
  t.match(err, /has no PIN file .*npm start makes the demonstration tokens/)
})

t.test('with the demonstration tokens it lists capabilities and keys, and no secret', async (t) => {
  const module = findModule()
  if (module === null) throw new Error('no PKCS#11 module found; scripts/setup.sh installs SoftHSM')
  const { bank } = await provisionDemonstration({ home, module })
  const shown = status('--json')
  t.equal(shown.code, 0, shown.err)
  const told = JSON.parse(shown.out)
  t.equal(told.token, 'switchyard-demo')
  for (const name of ['tdes', 'derive_tdes', 'derive_aes', 'aes_key_wrap', 'random']) {
    const found = told.capabilities.find((one: { name: string }) => one.name === name)
    t.equal(found?.available, true, name)
  }
  const keys = told.keys.map((one: { name: string }) => one.name)
  for (const name of DEMONSTRATION_KEYS) t.ok(keys.includes(name), name)
  const people = status()
  t.match(people.out, /demo\.kbpk +kbpk +aes +no/)
  t.notOk((people.out + shown.out).includes(bank.pin), 'the PIN is not shown')
})
