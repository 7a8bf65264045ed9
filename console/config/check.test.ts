// `switchyard config check|show` as a person or a script calls them.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { demonstrationPath } from '../../config/load.ts'

const LAUNCHER = fileURLToPath(new URL('../../bin/switchyard.js', import.meta.url))

function switchyard(args: string[], environment: Record<string, string> = {}) {
  const env = { ...process.env, ...environment }
  const { status, stdout, stderr } = spawnSync(process.execPath, [LAUNCHER, ...args], {
    encoding: 'utf8',
    env,
  })
  return { status, stdout, stderr }
}

t.test('the demonstration is without mistakes, also by default and as a directory', async (t) => {
  for (const args of [[], [demonstrationPath()], [demonstrationPath().replace(/[^/]*$/, '')]]) {
    const { status, stdout, stderr } = switchyard(['config', 'check', ...args])
    t.equal(status, 0, stderr)
    t.match(stdout, /demonstration\.yaml: no mistakes; 5 links, 3 terminals, 1 issuers, 3 routes\n/)
  }
})

t.test('mistakes are on stdout, one a line, with file and line; exit 1', async (t) => {
  const text = readFileSync(demonstrationPath(), 'utf8')
  const bad = text.replace('workers: 2', 'workers: 99').replace('to: visa', 'to: viza')
  const dir = t.testdir({ conf: { 'bank.yaml': bad } })
  const { status, stdout, stderr } = switchyard(['config', 'check', `${dir}/conf`])
  t.equal(status, 1)
  const lines = stdout.trimEnd().split('\n')
  t.equal(lines.length, 2)
  t.match(lines[0], /conf\/bank\.yaml:\d+: token\.workers is out of range; write a whole number/)
  t.match(lines[1], /conf\/bank\.yaml:\d+: routes\[2\]\.to: there is no link of this name/)
  t.match(stderr, /2 mistakes in /)
  const json = switchyard(['config', 'check', `${dir}/conf`, '--json'])
  t.equal(json.status, 1)
  const found = JSON.parse(json.stdout) as { ok: boolean; mistakes: Array<{ line: number }> }
  t.equal(found.ok, false)
  t.equal(found.mistakes[0]?.line, text.slice(0, text.indexOf('workers: 2')).split('\n').length)
})

t.test('a path that does not exist is exit 1 with one line', async (t) => {
  const { status, stdout } = switchyard(['config', 'check', '/nonexistent/x.yaml'])
  t.equal(status, 1)
  t.match(stdout, /^\/nonexistent\/x\.yaml: does not exist; name a YAML file/)
})

t.test('show fills in defaults and masks the database password', async (t) => {
  const url = 'postgres://anna:geheim@db.example:5433/cards?sslkey=x'
  const environment = { SWITCHYARD_DATABASE_URL: url }
  const { status, stdout } = switchyard(['config', 'show', '--json'], environment)
  t.equal(status, 0)
  const shown = JSON.parse(stdout) as {
    links: Array<{ listen: string; frame_bytes_max: number }>
    environment: { database_url: string }
  }
  t.equal(shown.links[0]?.listen, '127.0.0.1:7001')
  t.equal(shown.links[0]?.frame_bytes_max, 4096)
  t.equal(shown.environment.database_url, 'postgres://****@db.example:5433/cards')
  t.notMatch(stdout, /geheim|anna|sslkey/)
  const plain = switchyard(['config', 'show'])
  t.match(plain.stdout, /^node: switchyard-1$/m)
})
