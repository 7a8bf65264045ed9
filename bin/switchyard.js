#!/usr/bin/env node
// The `switchyard` command's launcher: finds a Node that runs TypeScript, then imports
// console/main.ts. Plain JavaScript in old syntax, because it must start (and explain itself) on
// whatever Node the machine has. It must never do work of its own.
import { spawn } from 'child_process'
import { existsSync } from 'fs'
import { createRequire } from 'module'
import { dirname, join } from 'path'
import { fileURLToPath } from 'url'

const NODE_MAJOR_MIN = 24 // Runs TypeScript without a flag, and is what tests run on.
const script = fileURLToPath(import.meta.url) // npm's link in node_modules/.bin is resolved here
const root = dirname(dirname(script))
const modules = join(root, 'node_modules')

if (!existsSync(join(modules, 'commander'))) {
  fail('the packages are not installed; run: npm start')
} else if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN) {
  run()
} else {
  const packaged = join(modules, 'node-linux-' + process.arch, 'bin', 'node')
  if (existsSync(packaged)) hand(packaged)
  else fail('Node ' + NODE_MAJOR_MIN + ' is not installed in node_modules; run: npm start')
}

function run() {
  const nodeModule = createRequire(import.meta.url)('module')
  // Kept inside the checkout: a cache in the shared temporary directory could be planted.
  nodeModule.enableCompileCache(join(modules, '.cache', 'switchyard'))
  import('../console/main.ts')
    .then(function (console) {
      return console.main(process.argv.slice(2))
    })
    .catch(function (error) {
      fail(String((error && error.stack) || error))
    })
}

/** Becomes the packaged Node where this Node can (22.15 and later), else runs it as a child. */
function hand(packaged) {
  const args = [script].concat(process.argv.slice(2))
  if (typeof process.execve === 'function' && process.emitWarning) {
    const emit = process.emitWarning
    process.emitWarning = function () {} // execve is marked experimental; a user need not know
    try {
      process.execve(packaged, [packaged].concat(args), process.env)
    } catch (error) {
      process.emitWarning = emit // not possible here (a worker, an odd libc): the child below is
    }
  }
  const child = spawn(packaged, args, { stdio: 'inherit' })
  const fromTerminal = ['SIGINT', 'SIGQUIT', 'SIGHUP']
  const signals = fromTerminal.concat(['SIGTERM', 'SIGUSR1', 'SIGUSR2'])
  signals.forEach(function (signal) {
    process.on(signal, function () {
      // A terminal sends Ctrl-C to the child as well; twice would mean "at once" to the switch.
      if (!process.stdin.isTTY || fromTerminal.indexOf(signal) < 0) child.kill(signal)
    })
  })
  child.on('error', function (error) {
    fail('cannot start ' + packaged + ': ' + error.message)
  })
  child.on('exit', function (code, signal) {
    if (signal === null) {
      process.exit(code)
    }
    signals.forEach(function (name) {
      process.removeAllListeners(name)
    })
    process.kill(process.pid, signal) // dies as the child did, so that callers see the same
  })
}

function fail(why) {
  process.stderr.write('switchyard: ' + why + '\n')
  process.exitCode = 1
}
