// A real terminal for tests: script(1) makes a pseudo-terminal, the test types and reads the
// screen. Used by *.test.ts of this folder only.

import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { childEnvironment } from '../../config/load.ts'
import { systemClock } from '../../switch/runtime/clock.ts'

const LAUNCHER = fileURLToPath(new URL('../../bin/switchyard.js', import.meta.url))
const WAIT_MS_MAX = 30_000

/** One command in a terminal of its own. */
export class TerminalRun {
  /** Everything that was on the screen, in order, with what was typed where it was echoed. */
  screen = ''
  #seen = 0
  #wake: (() => void) | null = null
  readonly #child: ChildProcessWithoutNullStreams
  readonly #ended: Promise<number>

  constructor(args: readonly string[], environment: Readonly<Record<string, string>>) {
    const words = [process.execPath, LAUNCHER, ...args].map((word) => `'${word}'`).join(' ')
    const line = `stty cols 100; echo "pid $$."; exec ${words}`
    this.#child = spawn('script', ['-qfec', line, '/dev/null'], {
      env: childEnvironment({ ...environment, SHELL: '/bin/sh' }),
    })
    const read = (chunk: Buffer): void => {
      this.screen += chunk.toString('utf8')
      this.#wake?.()
    }
    this.#child.stdout.on('data', read)
    this.#child.stderr.on('data', read)
    this.#child.stdin.on('error', () => undefined)
    this.#ended = new Promise((resolve) => {
      this.#child.once('close', (code) => {
        this.#wake?.()
        resolve(code ?? -1)
      })
    })
  }

  /** Waits until the screen shows a text behind what was waited for before. */
  async see(text: string): Promise<void> {
    let late = false
    const timer = systemClock.after(WAIT_MS_MAX, () => {
      late = true
      this.#wake?.()
    })
    try {
      for (;;) {
        const at = this.screen.indexOf(text, this.#seen)
        if (at >= 0) {
          this.#seen = at + text.length
          return
        }
        if (late || this.#child.exitCode !== null) {
          throw new Error(`'${text}' did not come on the screen:\n${this.screen}`)
        }
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      timer.cancel()
    }
  }

  /** Types a line. */
  type(line: string): void {
    this.#child.stdin.write(`${line}\r`)
  }

  /** Waits for a question and answers it. */
  async answer(question: string, line: string): Promise<void> {
    await this.see(question)
    this.type(line)
  }

  /** kill -9 of the command. */
  kill(): void {
    const pid = Number(/pid (\d+)\./.exec(this.screen)?.[1])
    if (!(pid > 1)) throw new Error('no process to kill')
    process.kill(pid, 'SIGKILL')
  }

  /** The exit code, once it has ended. */
  end(): Promise<number> {
    return this.#ended
  }
}
