/**
 * `switchyard message validate`: each message of the input against the rules of its dialect, one
 * JSON line per message.
 *
 * An answer is compared with the request of an earlier line that it answers, found by the dialect's
 * matching fields. It never prints what a field holds: findings carry number, name and rule.
 */
import { stdout } from 'node:process'
import { loadDialect } from '../../config/dialects.ts'
import {
  checkMessage, isAnswer, requestMtiOf, type CheckedMessage, type Finding,
} from '../../config/message-rules.ts'
import type { Meaning } from '../../config/meaning.ts'
import type { DialectFile } from '../../config/dialects.ts'
import { CommandFailed, EXIT } from '../help.ts'
import { faultRecord } from './codec.ts'
import { bytesOfHexLine } from './hex-input.ts'
import { LineWriter, linesOf } from './lines.ts'
import type { MessageRecord } from './record.ts'
import { codecFor, inputOf, type LineOptions } from './run.ts'

/** Requests that are kept to compare their answers with; older ones are forgotten. */
const REQUESTS_MAX = 10_000

/**
 * Prints `{"mti","valid","findings":[{"kind","field","name","rule"}]}` for each line; exit code 1
 * when a message breaks a rule or cannot be decoded.
 */
export async function validateLines(file: string, options: LineOptions): Promise<number> {
  const codec = codecFor(options)
  const directories = options.dialects === undefined ? [] : [options.dialects]
  const { spec, meaning } = loadDialect(options.dialect, directories)
  if (Object.keys(meaning.requests).length === 0) {
    throw new CommandFailed(`${spec.name} says nothing of its messages yet`)
  }
  const checker = new Checker(spec, meaning)
  const output = new LineWriter(stdout)
  let failed = false
  for await (const { text, tooLong } of linesOf(await inputOf(file))) {
    if (text.trim() === '' && !tooLong) continue
    const bytes = tooLong ? 0 : bytesOfHexLine(text)
    const record = typeof bytes === 'number' ? faultRecord('input_not_hex', 0, bytes)
      : codec.decode(bytes, true)
    const result = 'mti' in record ? checker.check(record) : record
    failed ||= 'error' in result || ('valid' in result && !result.valid)
    await output.line(JSON.stringify(result))
  }
  await output.flush()
  return failed ? EXIT.failed : EXIT.done
}

export interface Validation {
  readonly mti: string
  readonly valid: boolean
  readonly findings: readonly (Finding & { readonly name: string })[]
}

/** Checks decoded messages one after the other and remembers requests for their answers. */
export class Checker {
  readonly #spec: DialectFile
  readonly #meaning: Meaning
  readonly #requests = new Map<string, CheckedMessage>()

  constructor(spec: DialectFile, meaning: Meaning) {
    this.#spec = spec
    this.#meaning = meaning
  }

  check(record: MessageRecord): Validation {
    const message = this.#messageOf(record)
    const request = this.#requestOf(message)
    const findings = checkMessage(this.#meaning, message, request).map((one) => {
      return { ...one, name: this.#spec.fields[one.field]?.name ?? '' }
    })
    return { mti: message.mti, valid: findings.length === 0, findings }
  }

  #messageOf({ mti, fields }: MessageRecord): CheckedMessage {
    return {
      mti,
      has: (field) => fields[field] !== undefined,
      text: (field) => fields[field] ?? '',
      count: (field) => this.#countOf(field, fields[field] ?? ''),
    }
  }

  #countOf(field: number, text: string): number {
    if (text.startsWith('hex:')) return (text.length - 4) / 2
    return this.#spec.fields[field]?.kind === 'b' ? text.length / 2 : text.length
  }

  /** The request an answer answers; a request is remembered and gives null. */
  #requestOf(message: CheckedMessage): CheckedMessage | null {
    const answer = isAnswer(message.mti)
    const mti = answer ? requestMtiOf(message.mti) : message.mti
    const values = this.#meaning.matching.map((field) => message.text(field))
    const key = [mti.slice(0, 3), ...values].join('|')
    if (answer) return this.#requests.get(key) ?? null
    if (this.#requests.size >= REQUESTS_MAX) {
      for (const oldest of this.#requests.keys()) {
        this.#requests.delete(oldest)
        break
      }
    }
    this.#requests.set(key, message)
    return null
  }
}
