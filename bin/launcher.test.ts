// The launcher on a Node that is too old for TypeScript: it hands over to the packaged Node and
// nothing of that is seen outside. An older Node is played by a preload that changes the version.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const launcher = fileURLToPath(new URL('./switchyard.js', import.meta.url))
const homes: string[] = []

/** A checkout with the launcher and a main.ts of the test's own. */
function checkout(main: string, packages = true): string {
  const home = mkdtempSync(join(tmpdir(), 'switchyard-launcher-'))
  homes.push(home)
  mkdirSync(join(home, 'bin'))
  mkdirSync(join(home, 'console'))
  copyFileSync(launcher, join(home, 'bin/switchyard.js'))
  writeFileSync(join(home, 'package.json'), '{"type":"module"}')
  writeFileSync(join(home, 'console/main.ts'), main)
  const old = "Object.defineProperty(process, 'versions', { value: { node: '20.1.0' } })\n"
  writeFileSync(join(home, 'old.mjs'), old)
  writeFileSync(join(home, 'old-without-exec.mjs'), `${old}process.execve = undefined\n`)
  if (packages) {
    const packaged = join(home, 'node_modules', `node-linux-${process.arch}`, 'bin')
    mkdirSync(packaged, { recursive: true })
    mkdirSync(join(home, 'node_modules/commander'))
    symlinkSync(process.execPath, join(packaged, 'node'))
  }
  return home
}

t.teardown(() => {
  for (const home of homes) rmSync(home, { recursive: true, force: true })
})

/** How the launcher can come to run; each must look the same from outside. */
const WAYS = [
  { name: 'a Node that runs TypeScript', preload: [] },
  { name: 'an older Node that can become another program', preload: ['--import', './old.mjs'] },
  { name: 'an older Node that cannot', preload: ['--import', './old-without-exec.mjs'] },
]

const ECHO = `
  export async function main(args: readonly string[]): Promise<void> {
    let input = ''
    for await (const part of process.stdin) input += part
    const typed: string = process.versions.node
    process.stdout.write(JSON.stringify({ args, input, major: typed.split('.')[0] }))
    process.stderr.write('talk')
    process.exitCode = 2
  }`

for (const { name, preload } of WAYS) {
  t.test(`${name}: arguments, stdin, stdout, stderr and exit code pass through`, async (t) => {
    const home = checkout(ECHO)
    const args = [...preload, 'bin/switchyard.js', 'a b', '--c=$d', '']
    const done = spawnSync(process.execPath, args, { cwd: home, input: 'in', encoding: 'utf8' })
    t.equal(done.stderr, 'talk')
    t.same(JSON.parse(done.stdout), {
      args: ['a b', '--c=$d', ''],
      input: 'in',
      major: process.versions.node.split('.')[0],
    })
    t.equal(done.status, 2)
  })
}

const WAITING = `
  export async function main(args: readonly string[]): Promise<void> {
    let count = 0
    if (args[0] === 'catch') {
      process.on('SIGTERM', () => { count++ })
      process.on('SIGINT', () => { process.stdout.write('int ' + count); process.exit(7) })
    }
    setInterval(() => {}, 1000)
    process.stdout.write('ready')
  }`

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.stdout?.once('data', () => resolve()))
}

function ended(child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> {
  return new Promise((resolve) => child.once('exit', (code, signal) => resolve([code, signal])))
}

for (const { name, preload } of WAYS) {
  t.test(`${name}: signals arrive once, and a death by signal is seen as one`, async (t) => {
    const home = checkout(WAITING)
    const start = (arg: string): ChildProcess =>
      spawn(process.execPath, [...preload, 'bin/switchyard.js', arg], { cwd: home })
    const catching = start('catch')
    let said = ''
    catching.stdout?.on('data', (part: Buffer) => (said += part.toString()))
    await ready(catching)
    catching.kill('SIGTERM')
    await new Promise((resolve) => setTimeout(resolve, 100))
    const end = ended(catching)
    catching.kill('SIGINT')
    t.same(await end, [7, null])
    t.equal(said, 'readyint 1')
    const dying = start('')
    await ready(dying)
    const death = ended(dying)
    dying.kill('SIGTERM')
    t.same(await death, [null, 'SIGTERM'])
  })
}

t.test('without packages it says what to run', async (t) => {
  const home = checkout(ECHO, false)
  const done = spawnSync(process.execPath, ['bin/switchyard.js'], { cwd: home, encoding: 'utf8' })
  t.equal(done.status, 1)
  t.equal(done.stderr, 'switchyard: the packages are not installed; run: npm start\n')
})
