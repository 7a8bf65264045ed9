// The calculator: JSON lines in, one JSON line out for each, in order. Called by
// console/commands/calc.ts and by tests. A bad line is answered with an error and changes nothing
// for the others. Nothing is logged: lines hold clear test keys.

import { DUKPT_ALGORITHMS } from './dukpt-algorithms.ts'
import { CARD_ALGORITHMS } from './emv-algorithms.ts'
import { GM_ALGORITHMS } from './gm-algorithms.ts'
import { CalcInput, CalcInputError } from './input.ts'
import type { CalcAlgorithm } from './input.ts'
import { MAC_AND_KEY_ALGORITHMS } from './mac-algorithms.ts'
import { PIN_ALGORITHMS } from './pin-algorithms.ts'
import { EmvError } from '../../emv/faults.ts'
import { AlgorithmError } from '../../hsm/algorithms/errors.ts'

/** Longest line that is read; an RSA certificate line has about 3,000 characters. */
export const CALC_LINE_CHARACTERS_MAX = 1_000_000

const ALGORITHMS: ReadonlyMap<string, CalcAlgorithm> = new Map(
  Object.entries({
    ...PIN_ALGORITHMS,
    ...MAC_AND_KEY_ALGORITHMS,
    ...CARD_ALGORITHMS,
    ...DUKPT_ALGORITHMS,
    ...GM_ALGORITHMS,
  }),
)

/** Names of all algorithms, sorted. */
export function listAlgorithms(): readonly string[] {
  return [...ALGORITHMS.keys()].sort()
}

/** Answer of one line; `error` is the kind of refusal, `detail` names what was refused. */
export interface CalcAnswer {
  readonly id: unknown
  readonly out?: Record<string, unknown>
  readonly error?: string
  readonly detail?: string
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parsed(line: string): Record<string, unknown> {
  if (line.length > CALC_LINE_CHARACTERS_MAX) throw new CalcInputError('json', 'line is too long')
  let value: unknown
  try {
    value = JSON.parse(line.replace(/^\uFEFF/, ''))
  } catch {
    // JSON.parse quotes its input in the error text, so that text is not passed on.
    throw new CalcInputError('json', 'line is not JSON')
  }
  if (!isRecord(value)) throw new CalcInputError('json', 'line is not a JSON object')
  return value
}

function refusal(id: unknown, fault: unknown): CalcAnswer {
  const known =
    fault instanceof AlgorithmError || fault instanceof EmvError || fault instanceof CalcInputError
  // A fault of another class is a defect of ours; its text could hold data, so it is not shown.
  if (!known) return { id, error: 'internal', detail: 'the calculator failed on these inputs' }
  return { id, error: fault.kind, detail: fault.message.slice(fault.kind.length + 2) }
}

/** Answers one line. Never throws. */
export function answerLine(line: string): CalcAnswer {
  let id: unknown = null
  try {
    const request = parsed(line)
    id = request['id'] ?? null
    const name = request['alg']
    if (typeof name !== 'string') throw new CalcInputError('missing', 'alg')
    const algorithm = ALGORITHMS.get(name)
    if (algorithm === undefined) throw new CalcInputError('unknown_alg', 'alg')
    const values = request['in'] ?? {}
    if (!isRecord(values)) throw new CalcInputError('input', 'in must be an object')
    return { id, out: algorithm(new CalcInput(values)) }
  } catch (fault) {
    return refusal(id, fault)
  }
}

/**
 * Answers all lines in order; blank lines are passed over.
 * @param write takes one answer line with its line end; may return a promise (back-pressure)
 * @returns how many lines failed
 */
export async function runCalculator(
  lines: AsyncIterable<string> | Iterable<string>,
  write: (text: string) => void | Promise<void>,
): Promise<number> {
  let failed = 0
  for await (const line of lines) {
    if (line.trim() === '') continue
    const answer = answerLine(line)
    if (answer.error !== undefined) failed++
    await write(`${JSON.stringify(answer)}\n`)
  }
  return failed
}
