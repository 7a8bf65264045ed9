/**
 * Lines of a stream and lines to a stream, bounded: for commands that read one record per line,
 * however many there are.
 */
import type { Readable, Writable } from 'node:stream'

/**
 * Longest line that is read; a longer one is reported as such and skipped. Four times the largest
 * frame in hex.
 */
export const LINE_CHARACTERS_MAX = 8 * 1024 * 1024

export interface Line {
  readonly text: string
  /** Longer than LINE_CHARACTERS_MAX: its text is not kept. */
  readonly tooLong: boolean
}

/** The lines of `input`, without their ends; a last line without end counts. */
export async function* linesOf(input: Readable): AsyncGenerator<Line> {
  let rest = ''
  let skipping = false
  input.setEncoding('utf8')
  for await (const chunk of input) {
    const pieces = (rest + String(chunk)).split('\n')
    rest = pieces.pop() ?? ''
    for (const piece of pieces) {
      yield skipping
        ? { text: '', tooLong: true }
        : { text: piece.replace(/\r$/, ''), tooLong: false }
      skipping = false
    }
    if (rest.length > LINE_CHARACTERS_MAX) {
      rest = ''
      skipping = true
    }
  }
  if (skipping) yield { text: '', tooLong: true }
  else if (rest !== '') yield { text: rest.replace(/\r$/, ''), tooLong: false }
}

/** Writes lines to `output`, in pieces, waiting when the reader is slower than we are. */
export class LineWriter {
  readonly #output: Writable
  #held: string[]
  #size: number

  constructor(output: Writable) {
    this.#output = output
    this.#held = []
    this.#size = 0
  }

  async line(text: string): Promise<void> {
    this.#held.push(text)
    this.#size += text.length
    if (this.#size > 65_536) await this.flush()
  }

  async flush(): Promise<void> {
    if (this.#held.length === 0) return
    const text = `${this.#held.join('\n')}\n`
    this.#held = []
    this.#size = 0
    if (!this.#output.write(text)) {
      await new Promise((resolve) => this.#output.once('drain', resolve))
    }
  }
}
