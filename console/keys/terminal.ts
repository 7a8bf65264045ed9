// The terminal of officers: questions on /dev/tty, answers with or without echo. Secrets come as
// bytes, never as a string, and the caller wipes them. It reads the terminal itself, not stdin, so
// that nothing secret can be piped in or end in a shell's history. Used by console/keys/ only.

import { closeSync, openSync, writeSync } from 'node:fs'
import { ReadStream } from 'node:tty'

import { CommandFailed } from '../help.ts'

const LINE_BYTES_MAX = 1_024
const CTRL_C = 0x03
const CTRL_D = 0x04
const CTRL_U = 0x15
const BACKSPACES: ReadonlySet<number> = new Set([0x08, 0x7f])
const ENTERS: ReadonlySet<number> = new Set([0x0a, 0x0d])
/** Clears the screen and what can be scrolled back to. */
const CLEAR = '\u001b[H\u001b[2J\u001b[3J'

/** Somebody ended the question with Ctrl-C or Ctrl-D. */
export class QuestionEnded extends CommandFailed {
  constructor() {
    super('ended at the terminal', 'nothing was changed by this question')
  }
}

export class Terminal {
  readonly #input: ReadStream
  readonly #output: number
  /** Bytes typed ahead of the question. */
  #ahead: number[] = []
  #wake: (() => void) | null = null
  #ended = false

  private constructor(input: ReadStream, output: number) {
    this.#input = input
    this.#output = output
    // Always raw: what is typed ahead of a secret question must not be echoed either.
    input.setRawMode(true)
    input.on('data', (chunk: Buffer) => {
      for (const byte of chunk) this.#ahead.push(byte)
      chunk.fill(0)
      this.#wake?.()
    })
    const end = (): void => {
      this.#ended = true
      this.#wake?.()
    }
    input.on('error', end).on('end', end).on('close', end)
    input.pause()
  }

  /** Opens the process's terminal. @throws CommandFailed without one */
  static open(): Terminal {
    try {
      return new Terminal(new ReadStream(openSync('/dev/tty', 'r')), openSync('/dev/tty', 'w'))
    } catch {
      throw new CommandFailed(
        'this asks officers for their passphrases and there is no terminal',
        'run it in a terminal, not in a script',
      )
    }
  }

  /** Gives the terminal back as it was. */
  close(): void {
    this.#ahead.fill(0)
    this.#input.setRawMode(false)
    this.#input.destroy()
    closeSync(this.#output)
  }

  /** Shows text. */
  say(text: string): void {
    writeSync(this.#output, text.replace(/\n/g, '\r\n'))
  }

  /** Clears the screen and its history. */
  clear(): void {
    this.say(CLEAR)
  }

  /** A line that is seen while it is typed, without blanks around it. */
  async ask(question: string): Promise<string> {
    this.say(question)
    const line = await this.#line(true)
    return Buffer.from(line).toString('utf8').trim()
  }

  /** A line that is not shown at all; the caller wipes it. */
  async askHidden(question: string): Promise<Uint8Array> {
    this.say(question)
    return this.#line(false)
  }

  async #line(shown: boolean): Promise<Uint8Array> {
    const line = new Uint8Array(LINE_BYTES_MAX)
    let length = 0
    this.#input.resume()
    try {
      for (;;) {
        const byte = await this.#next()
        if (ENTERS.has(byte)) break
        if (byte === CTRL_C || byte === CTRL_D) throw new QuestionEnded()
        if (byte === CTRL_U) {
          if (shown) this.say('\b \b'.repeat(length))
          line.fill(0)
          length = 0
        } else if (BACKSPACES.has(byte)) {
          if (length > 0) line[--length] = 0
          if (shown) this.say('\b \b')
        } else if (byte >= 0x20 && length < LINE_BYTES_MAX) {
          line[length++] = byte
          if (shown) writeSync(this.#output, Uint8Array.of(byte))
        }
      }
      return line.slice(0, length)
    } finally {
      line.fill(0)
      this.#input.pause()
      this.say('\n')
    }
  }

  async #next(): Promise<number> {
    while (this.#ahead.length === 0) {
      if (this.#ended) throw new QuestionEnded()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = null
    }
    return this.#ahead.shift() ?? 0
  }
}
