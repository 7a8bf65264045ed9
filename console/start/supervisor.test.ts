// The supervisor with stand-ins for database, token and traffic, and with a small script in place
// of the switch and the simulators: real processes, signals, ports and files.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { checkTexts, demonstrationPath } from '../../config/load.ts'
import type { SwitchConfig } from '../../config/schema.ts'
import { systemClock, wait } from '../../switch/runtime/clock.ts'
import { recordedDatabase, recordProcesses } from './run-state.ts'
import { Supervisor, type Parts, type StartOptions } from './supervisor.ts'

/** Plays `switchyard run` and `simulate`; what it shall do is in the file `.act` beside its log. */
const LAUNCHER = `
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
const [noun, word] = process.argv.slice(2)
const name = noun === 'run' ? 'switch' : word
const log = process.env.FAKE_LOG
const note = (what) => appendFileSync(log, [what, name, process.pid].join(' ') + '\\n')
const act = existsSync(log + '.act') ? readFileSync(log + '.act', 'utf8') : ''
note('began')
setInterval(() => undefined, 1000)
process.on('SIGTERM', () => { note('ended'); process.exit(0) })
if (act === 'refuse ' + name) {
  console.error('switchyard: the token is not there')
  process.exit(1)
}
if (act !== 'dumb ' + name) process.send({ type: 'ready' })
`

interface World {
  options: StartOptions
  said: string[]
  printed: string[]
  noted: () => string[] // lines of the stand-ins, without process ids
  act: (what: string) => void
  pidOf: (name: string) => number
}

async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = []
  for (let i = 0; i < count; i++) {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    servers.push(server)
  }
  const ports = servers.map((server) => {
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  })
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** The demonstration's configuration on ports that nobody has. */
async function freeConfig(): Promise<{ config: SwitchConfig; text: string }> {
  let text = readFileSync(demonstrationPath(), 'utf8')
  const used = [...text.matchAll(/127\.0\.0\.1:(\d+)/g)].map((match) => match[1] ?? '')
  const ports = await freePorts(used.length + 1)
  for (const [i, port] of used.entries()) text = text.replace(`:${port}`, `:${ports[i]}`)
  text = text.replace('port: 8583', `port: ${ports.at(-1)}`)
  const dialects = ['cups', 'cups-pos', 'iso87-ascii', 'visa']
  const { config } = checkTexts([{ name: 'test', text }], dialects)
  if (config === null) throw new Error('the demonstration has mistakes')
  return { config, text }
}

async function world(t: Test, parts: Partial<Parts> = {}): Promise<World> {
  const home = t.testdir({ 'switchyard.js': LAUNCHER })
  const log = join(home, 'noted')
  process.env['FAKE_LOG'] = log
  const { config } = await freeConfig()
  const said: string[] = []
  const printed: string[] = []
  const note = (line: string): void => writeFileSync(log, `${line} 0\n`, { flag: 'a' })
  const noted = (): string[] => {
    const text = existsSync(log) ? readFileSync(log, 'utf8').trim() : ''
    return text === '' ? [] : text.split('\n').map((line) => line.replace(/ \d+$/, ''))
  }
  const options: StartOptions = {
    config,
    configPath: demonstrationPath(),
    home,
    databaseUrl: null,
    quiet: false,
    clock: systemClock,
    say: (line) => said.push(line),
    print: (text) => printed.push(text),
    parts: {
      async startDatabase() {
        note('began database')
        const stop = async (): Promise<void> => note('ended database')
        return { url: 'postgres://u:geheim@127.0.0.1:1/x', embedded: true, stop }
      },
      guard: async () => ({ release: () => undefined }),
      migrate: async () => note('migrated'),
      prepare: async () => note('prepared'),
      demonstrate: async () => 'TABLE',
      launcher: join(home, 'switchyard.js'),
      ...parts,
    },
  }
  const pidOf = (name: string): number => {
    const lines = readFileSync(log, 'utf8').split('\n')
    return Number(lines.findLast((line) => line.startsWith(`began ${name} `))?.split(' ')[2])
  }
  return { options, said, printed, noted, act: (what) => writeFileSync(`${log}.act`, what), pidOf }
}

async function until(what: () => boolean, message: string): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (what()) return
    await wait(systemClock, 20)
  }
  throw new Error(`waited too long: ${message}`)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

t.test('starts in order, says ready after the table, and ends in the opposite order', async (t) => {
  const { options, printed, noted, said } = await world(t)
  const supervisor = new Supervisor(options)
  const ended = supervisor.run()
  await until(() => printed.length === 2, 'ready')
  t.equal(printed[0], 'TABLE\n')
  t.match(printed[1], /^ready after [\d.]+ s: pos \d+, atm \d+, .*\/metrics; Ctrl-C ends it\n$/)
  t.same(noted().slice(0, 3), ['began database', 'migrated', 'prepared'])
  t.same(noted().slice(3).toSorted(), ['began cups', 'began switch', 'began visa'])
  const url = options.home + '/run/database.json'
  t.equal(statSync(url).mode & 0o777, 0o600, 'the address is for its owner only')
  supervisor.stop()
  await ended
  t.same(noted().slice(6), ['ended switch', 'ended visa', 'ended cups', 'ended database'])
  t.notOk(existsSync(url), 'no address is left behind')
  t.notMatch([...said, ...printed].join('\n'), /geheim/)
})

t.test('a child that dies is reported in one line and started again', async (t) => {
  const { options, printed, said, pidOf } = await world(t)
  const supervisor = new Supervisor({ ...options, quiet: true })
  const ended = supervisor.run()
  await until(() => printed.length === 1, 'ready')
  const first = pidOf('switch')
  process.kill(first, 'SIGKILL')
  await until(() => said.includes('switch is ready again'), 'ready again')
  t.ok(said.some((line) => /^switch ended \(SIGKILL\); it is started again in 0\.2 s$/.test(line)))
  t.not(pidOf('switch'), first)
  supervisor.stop()
  await ended
  t.notOk(isAlive(pidOf('switch')))
})

t.test('a child that refuses to start ends the start with its own words', async (t) => {
  const { options, noted, act, pidOf } = await world(t)
  act('refuse switch')
  await t.rejects(new Supervisor(options).run(), {
    message: 'switch ended (exit 1): the token is not there',
  })
  t.equal(noted().at(-1), 'ended database')
  for (const name of ['cups', 'visa', 'switch']) t.notOk(isAlive(pidOf(name)), name)
})

t.test('a stop while a child is starting ends everything', async (t) => {
  const { options, noted, act, printed } = await world(t)
  act('dumb switch')
  const supervisor = new Supervisor(options)
  const ended = supervisor.run()
  await until(() => noted().includes('began switch'), 'the switch began')
  supervisor.stop()
  await ended
  t.equal(noted().at(-1), 'ended database')
  t.same(printed, [])
})

t.test('a port in use is one clear line, and nothing is started', async (t) => {
  const { options, noted } = await world(t)
  const link = options.config.links[0]
  const port = link?.listen?.port ?? 0
  const server = createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  await t.rejects(new Supervisor(options).run(), {
    message: new RegExp(`^port ${port} of link pos is in use; end what listens there`),
  })
  t.same(noted(), [])
})

t.test('a second start on the same directory is refused while the first runs', async (t) => {
  const { options, printed } = await world(t)
  const first = new Supervisor({ ...options, quiet: true })
  const ended = first.run()
  await until(() => printed.length === 1, 'ready')
  const { config } = await freeConfig()
  await t.rejects(new Supervisor({ ...options, config }).run(), {
    message: new RegExp(`^switchyard already runs on .*, process ${process.pid}; end it`),
  })
  t.not(readFileSync(join(options.home, 'run/database.json'), 'utf8'), '')
  first.stop()
  await ended
})

t.test('at once: children are killed, the database is still ended properly', async (t) => {
  const { options, noted, printed, pidOf } = await world(t)
  const supervisor = new Supervisor({ ...options, quiet: true })
  const ended = supervisor.run()
  await until(() => printed.length === 1, 'ready')
  await supervisor.stopNow()
  await ended
  t.equal(noted().at(-1), 'ended database')
  t.notOk(isAlive(pidOf('switch')))
  t.notOk(noted().includes('ended switch'), 'no drain')
})

t.test('children end by themselves when the supervisor is killed', async (t) => {
  const { options, pidOf, noted } = await world(t)
  const { text } = await freeConfig()
  writeFileSync(join(options.home, 'x.yaml'), text)
  const script = join(options.home, 'bin-switchyard.ts')
  const here = fileURLToPath(new URL('.', import.meta.url))
  writeFileSync(script, supervisorScript(here, options.home))
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  const pids = ['cups', 'visa', 'switch'].map(pidOf)
  for (const pid of pids) t.ok(isAlive(pid))
  child.kill('SIGKILL')
  await until(() => !pids.some(isAlive), 'the children ended')
  t.ok(noted().includes('ended switch'), 'it drained')
  t.equal(recordedDatabase(options.home), null, 'the address of a killed start is not used')
})

/** A process with a supervisor of the same stand-ins. */
function supervisorScript(here: string, home: string): string {
  return `
import { Supervisor } from '${here}supervisor.ts'
import { checkTexts } from '${here}../../config/load.ts'
import { systemClock } from '${here}../../switch/runtime/clock.ts'
import { readFileSync } from 'node:fs'
const text = readFileSync('${home}/x.yaml', 'utf8')
const { config } = checkTexts([{ name: 'x', text }], ['cups', 'cups-pos', 'iso87-ascii', 'visa'])
await new Supervisor({
  config, configPath: 'x', home: '${home}', databaseUrl: null, quiet: true, clock: systemClock,
  say: () => undefined, print: (text) => process.stdout.write(text),
  parts: {
    startDatabase: async () => {
      return { url: 'postgres://x', embedded: true, stop: async () => undefined }
    },
    guard: async () => ({ release: () => undefined }),
    migrate: async () => undefined, prepare: async () => undefined, demonstrate: async () => '',
    launcher: '${home}/switchyard.js',
  },
}).run()
`
}

t.test('a start after a killed one waits for what still drains', async (t) => {
  const { options, printed, said } = await world(t)
  const slow = join(options.home, 'slow')
  writeFileSync(join(options.home, 'old'), '')
  const script = `process.on('SIGTERM', () => undefined); setTimeout(() => process.exit(), 700)`
  writeFileSync(`${slow}.js`, script)
  const old = spawn(process.execPath, [`${slow}.js`, 'bin/switchyard.js'], { stdio: 'ignore' })
  recordProcesses(options.home, [
    { name: 'switch', pid: old.pid ?? 0 },
    { name: 'cups simulator', pid: process.pid }, // by now a stranger's number: left alone
  ])
  const supervisor = new Supervisor({ ...options, quiet: true })
  const ended = supervisor.run()
  await until(() => printed.length === 1, 'ready')
  t.match(said[0], /^an earlier start was killed; waiting for its processes to end: switch \(\d+\)$/)
  t.notOk(isAlive(old.pid ?? 0))
  supervisor.stop()
  await ended
})
