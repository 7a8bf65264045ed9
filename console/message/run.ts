/**
 * The verbs of `switchyard message` that read one record per line: opens the input, loads the
 * dialect, writes the lines.
 */
import { open } from 'node:fs/promises'
import { stdin, stdout } from 'node:process'
import type { Readable } from 'node:stream'
import {
  DialectFileError, dialectNames, loadableNames, loadDialectSpec,
} from '../../config/dialects.ts'
import { FRAMING_NAMES } from '../../switch/framing/framing.ts'
import { isFramingName } from '../../switch/framing/framings.ts'
import { CommandFailed, EXIT, WrongUsage } from '../help.ts'
import { MessageCodec, faultRecord } from './codec.ts'
import { bytesOfHexLine } from './hex-input.ts'
import { LineWriter, linesOf } from './lines.ts'

export interface LineOptions {
  readonly dialect: string
  readonly framing: string
  readonly showSensitive?: boolean
  /** Directory with a bank's own dialect files. */
  readonly dialects?: string
}

/**
 * Makes the codec the options name; throws WrongUsage for unknown names, CommandFailed for a bad
 * dialect file.
 */
export function codecFor(options: LineOptions): MessageCodec {
  const directories = options.dialects === undefined ? [] : [options.dialects]
  if (!loadableNames(directories).includes(options.dialect)) {
    throw new WrongUsage(`unknown dialect '${options.dialect}'`,
      `one of: ${dialectNames(directories).join(' ')}`)
  }
  if (!isFramingName(options.framing)) {
    throw new WrongUsage(`unknown framing '${options.framing}'`,
      `one of: ${FRAMING_NAMES.join(' ')}`)
  }
  try {
    return new MessageCodec(loadDialectSpec(options.dialect, directories), options.framing)
  } catch (error) {
    if (error instanceof DialectFileError) {
      throw new CommandFailed(error.message, 'mend the dialect file')
    }
    throw error
  }
}

/** Hexadecimal lines to records; exit code 1 when a line failed. */
export async function decodeLines(file: string, options: LineOptions): Promise<number> {
  const codec = codecFor(options)
  return eachLine(file, (text) => {
    const bytes = bytesOfHexLine(text)
    const record = typeof bytes === 'number' ? faultRecord('input_not_hex', 0, bytes)
      : codec.decode(bytes, options.showSensitive === true)
    return { line: JSON.stringify(record), failed: 'error' in record }
  })
}

/** Records to hexadecimal lines; a record that failed keeps its place with a fault record. */
export async function encodeLines(file: string, options: LineOptions): Promise<number> {
  const codec = codecFor(options)
  return eachLine(file, (text) => {
    let record: unknown
    try {
      record = JSON.parse(text)
    } catch {
      return { line: JSON.stringify(faultRecord('input_not_json', 0, -1)), failed: true }
    }
    const result = codec.encode(record)
    if (Buffer.isBuffer(result)) {
      return { line: result.toString('hex').toUpperCase(), failed: false }
    }
    return { line: JSON.stringify(result), failed: true }
  })
}

async function eachLine(
  file: string, work: (text: string) => { line: string; failed: boolean },
): Promise<number> {
  const output = new LineWriter(stdout)
  let failed = false
  for await (const { text, tooLong } of linesOf(await inputOf(file))) {
    if (text.trim() === '' && !tooLong) continue
    const result = tooLong
      ? { line: JSON.stringify(faultRecord('line_too_long', 0, 0)), failed: true }
      : work(text)
    failed ||= result.failed
    await output.line(result.line)
    if (stdin.isTTY) await output.flush()
  }
  await output.flush()
  return failed ? EXIT.failed : EXIT.done
}

/** The named file, or standard input for `-`. Throws CommandFailed when it cannot be opened. */
export async function inputOf(file: string): Promise<Readable> {
  if (file === '-') return stdin
  try {
    return (await open(file)).createReadStream()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed'
    throw new CommandFailed(`cannot read ${file}: ${code}`, 'give the path of a text file, or -')
  }
}
