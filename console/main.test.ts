// The command line as a whole: every noun explains itself, mistakes are one line and exit 2, and a
// reader that leaves early is no error.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Command } from 'commander'
import { errorLine } from './help.ts'
import { programFor } from './main.ts'

const launcher = fileURLToPath(new URL('../bin/switchyard.js', import.meta.url))

function run(...args: string[]): { code: number | null; out: string; err: string } {
  const done = spawnSync(process.execPath, [launcher, ...args], { encoding: 'utf8', input: '' })
  return { code: done.status, out: done.stdout, err: done.stderr }
}

/** What `--help` prints of a command, everything around included. */
function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: (part) => (text += part) })
  command.outputHelp()
  return text
}

const program = await programFor(['--help'])
const nouns = program.commands.map((command) => command.name()).filter((noun) => noun !== 'help')

t.test('every file of console/commands is a noun, and the other way round', async (t) => {
  const files = readdirSync(new URL('./commands/', import.meta.url))
    .filter((name) => name.endsWith('.ts') && !name.includes('.test.'))
    .map((name) => name.slice(0, -3))
  t.same([...nouns].sort(), files.sort())
})

t.test('--help begins with an example and lists every noun with a summary', async (t) => {
  const { code, out, err } = run('--help')
  t.equal(code, 0)
  t.equal(err, '')
  t.match(out, /^Examples?:\n/)
  for (const noun of nouns) t.match(out, new RegExp(`^  ${noun}\\b.*  [a-z]`, 'm'))
})

for (const noun of nouns) {
  t.test(`${noun}: it and each of its verbs begin their help with an example`, async (t) => {
    const typed = (await programFor([noun])).commands.find((command) => command.name() === noun)
    t.ok(typed, 'the module registers the noun under its own name')
    if (typed === undefined) return
    for (const command of [typed, ...typed.commands]) {
      const text = helpOf(command)
      t.match(text, /^Examples?:\n  \S/, command.name())
      t.match(text, /\n[A-Za-z].{10,}/, `${command.name()} has a description`)
    }
  })
}

const MISTAKES = [
  { name: 'nothing', args: [], says: 'nothing to do; see: switchyard --help' },
  { name: 'an unknown noun', args: ['mesage'], says: "unknown command 'mesage'" },
  { name: 'an unknown option', args: ['--loud'], says: "unknown option '--loud'" },
  { name: 'an unknown verb', args: ['config', 'chek'], says: "unknown command 'chek'" },
  {
    name: 'an option without its value',
    args: ['message', 'decode', '--dialect'],
    says: "option '--dialect <name>' argument missing; see: switchyard message --help",
  },
]

for (const { name, args, says } of MISTAKES) {
  t.test(`${name} is one line on stderr and exit 2`, async (t) => {
    const { code, out, err } = run(...args)
    t.equal(code, 2)
    t.equal(out, '')
    t.ok(err.startsWith(`switchyard: ${says}`), err)
    t.match(err, /^[^\n]+; see: switchyard [^\n]*--help\n$/)
  })
}

t.test('help <noun> is the help of the noun', async (t) => {
  t.equal(run('help', 'config').out, run('config', '--help').out)
  t.equal(run('help', 'config').code, 0)
})

t.test('a reader that leaves early is no error', async (t) => {
  const child = spawn(process.execPath, [launcher, 'calc', '--list'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.destroy()
  let err = ''
  child.stderr.on('data', (part: Buffer) => (err += part.toString()))
  const code = await new Promise((resolve) => child.once('close', resolve))
  t.equal(err, '')
  t.equal(code, 0)
})

t.test('an error is one line, whatever its text holds', async (t) => {
  t.equal(errorLine('first\n  second', 'do\nthis'), 'switchyard: first second; do this\n')
  t.equal(errorLine('all said', ''), 'switchyard: all said\n')
  t.ok(existsSync(launcher))
})
