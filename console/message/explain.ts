/**
 * `switchyard message explain`: what are these bytes? Says which framings and dialects fit and
 * prints the likeliest byte by byte, or the one that comes furthest and its first wrong byte. Masks
 * like decode.
 */
import { text as readText } from 'node:stream/consumers'
import { stdin, stdout } from 'node:process'
import { dialectNames, loadDialectSpec } from '../../config/dialects.ts'
import { compileDialect } from '../../switch/codec/dialect.ts'
import { Fault } from '../../switch/codec/fault.ts'
import { View } from '../../switch/codec/view.ts'
import { walkUntilFault } from '../../switch/codec/walk.ts'
import { CommandFailed, EXIT } from '../help.ts'
import { annotate, printable } from './annotate.ts'
import type { Row } from './annotate.ts'
import { candidatesFor } from './candidates.ts'
import type { Candidate } from './candidates.ts'
import { bytesOfPasted } from './pasted.ts'
import { recordOf } from './record.ts'

export interface ExplainOptions {
  readonly json?: boolean
  readonly showSensitive?: boolean
  readonly dialects?: string
}

const SHOWN_MAX = 6

/** Explains the words of the command line, or standard input; exit code 1 when nothing fits. */
export async function explain(words: readonly string[], options: ExplainOptions): Promise<number> {
  const given = words.length > 0 && words[0] !== '-' ? words.join(' ') : await readText(stdin)
  const pasted = bytesOfPasted(given)
  if (pasted === null) {
    throw new CommandFailed('no bytes in the input', 'give hexadecimal, a dump or base64')
  }
  const directories = options.dialects === undefined ? [] : [options.dialects]
  const dialects =
    dialectNames(directories).map((name) => compileDialect(loadDialectSpec(name, directories)))
  const all = candidatesFor(pasted.bytes, dialects)
  const fits = all.filter((one) => one.fault === null)
  const best = fits[0] ?? all[0]
  if (best === undefined) {
    throw new CommandFailed('no framing fits', 'check that the frame is complete')
  }
  const view = new View()
  walkUntilFault(best.dialect, best.parts.bytes, best.parts.messageStart, best.parts.end, view,
    new Fault())
  const rows = annotate(view, best, options.showSensitive === true)
  if (options.json === true) {
    stdout.write(`${JSON.stringify(asJson(pasted.form, best, fits, rows, view, options))}\n`)
  }
  else stdout.write(asText(pasted.bytes.length, pasted.form, best, fits, rows))
  return fits.length > 0 ? EXIT.done : EXIT.failed
}

function asJson(
  form: string, best: Candidate, fits: readonly Candidate[], rows: readonly Row[], view: View,
  options: ExplainOptions,
): Record<string, unknown> {
  return {
    input: form,
    fits: fits.map((one) =>
      ({ framing: one.framing.name, dialect: one.dialect.name, score: Math.round(one.score) })),
    framing: best.framing.name,
    dialect: best.dialect.name,
    ...(best.fault === null
      ? { record: recordOf(view, best.framing, best.parts, options.showSensitive === true) }
      : { error: best.fault }),
    rows,
  }
}

function asText(
  size: number, form: string, best: Candidate, fits: readonly Candidate[], rows: readonly Row[],
): string {
  const lines: string[] = []
  const name = (one: Candidate): string => `${one.framing.name} / ${one.dialect.name}`
  lines.push(`${size} bytes from ${form === 'log' ? 'a log line' : form}`)
  if (fits.length > 0) {
    lines.push(`fits (framing / dialect): ${fits.slice(0, SHOWN_MAX).map(name).join(', ')}`)
    if (fits.length > 1) lines.push(`shown: ${name(best)}`)
  } else lines.push(`nothing fits; ${name(best)} comes furthest`)
  lines.push('')
  for (const row of rows) lines.push(printable(row))
  if (best.fault !== null) {
    const where = best.fault.field === 0
      ? ''
      : ` in DE${best.fault.field} ${best.dialect.fieldName(best.fault.field)}`
    lines.push('',
      `first wrong byte: offset ${best.fault.offset}${where}: ${best.fault.kind.replaceAll('_', ' ')}`)
  }
  return `${lines.join('\n')}\n`
}
