// Faults that a simulated peer commits on purpose: which message, and what happens to its answer.
// Used by the scheme simulators; rules come from `--rule`, a YAML file, a control line or a test.
// A rule never sees more of a card than the PAN's last four digits.

import { readFileSync } from 'node:fs'
import { parse as parseYaml } from 'yaml'

/**
 * What the peer does instead of a plain answer.
 * - `answer`: nothing special (to except messages from a later, wider rule)
 * - `decline`: answers with `code`, books nothing
 * - `delay`, `late`: answers after `ms`; late is meant to be after the other side's time-out
 * - `silent`: decides and books as usual, never answers
 * - `deaf`: as if the message had been lost: nothing is booked or answered
 * - `repeat`: sends the answer `count` times more
 * - `drop`: books, then closes the connection instead of answering
 * - `bad_mac`: answers with a spoilt MAC (no effect where the dialect has none)
 */
export const FAULT_KINDS = [
  'answer',
  'decline',
  'delay',
  'late',
  'silent',
  'deaf',
  'repeat',
  'drop',
  'bad_mac',
] as const
export type FaultKind = (typeof FAULT_KINDS)[number]

export interface FaultAction {
  readonly kind: FaultKind
  /** DE39 of `decline`. */
  readonly code: string
  /** Of `delay` and `late`. */
  readonly ms: number
  /** Of `repeat`: extra copies. */
  readonly count: number
}

/** One rule: all given conditions must hold. */
export interface FaultRule {
  readonly text: string
  readonly mti: string | null
  /** Inclusive, minor units; null = any, also a message without amount. */
  readonly amountFrom: number | null
  readonly amountTo: number | null
  /** Last one to four digits of the PAN. */
  readonly panSuffix: string | null
  /** Only the nth message that meets the other conditions, counted from 1. */
  readonly nth: number | null
  /** At most so many messages; null = no bound. */
  readonly times: number | null
  readonly action: FaultAction
}

/** What a rule looks at. */
export interface FaultSubject {
  readonly mti: string
  /** Minor units; null when the message has no DE4. */
  readonly amountMinor: number | null
  readonly pan: string
}

export const RULES_MAX = 100 // a list for people; every message is compared with each
export const DELAY_MS_MAX = 600_000 // ten minutes: longer than any reply time-out of the switch
export const REPEAT_MAX = 10

const DELAY_MS_DEFAULT = 1_000
const LATE_MS_DEFAULT = 15_000 // after every reply_timeout_ms of the example configuration
/** An answer without any fault. */
export const PLAIN_ANSWER: FaultAction = { kind: 'answer', code: '00', ms: 0, count: 0 }

/** A rule that cannot be read; the message names the part, and quotes only what the user typed. */
export class FaultRuleError extends Error {
  constructor(text: string, why: string) {
    super(`rule '${text}': ${why}; example: amount=9100,mti=0100:silent`)
    this.name = 'FaultRuleError'
  }
}

/**
 * Reads one rule: conditions, a colon, an action.
 * Conditions: `amount=9100` or `amount=9000-9199`, `pan=4226`, `mti=0100`, `nth=3`, `times=1`;
 * `any` alone for every message. Actions: `silent`, `decline=51`, `delay=2000`, `repeat=2`, ...
 *
 * @throws FaultRuleError
 */
export function parseRule(text: string): FaultRule {
  const colon = text.lastIndexOf(':')
  if (colon < 0) throw new FaultRuleError(text, 'there is no action after a colon')
  const conditions = new Map<string, string>()
  for (const part of text.slice(0, colon).split(',')) {
    const word = part.trim()
    if (word === '' || word === 'any') continue
    const [name = '', value = ''] = word.split('=')
    if (conditions.has(name)) throw new FaultRuleError(text, `${name} is given twice`)
    conditions.set(name.trim(), value.trim())
  }
  for (const name of conditions.keys()) {
    if (!['amount', 'pan', 'mti', 'nth', 'times'].includes(name)) {
      throw new FaultRuleError(text, `no condition '${name}'`)
    }
  }
  const [amountFrom, amountTo] = parseAmount(text, conditions.get('amount'))
  return {
    text,
    mti: matching(text, 'mti', conditions.get('mti'), /^[0-9]{4}$/),
    amountFrom,
    amountTo,
    panSuffix: matching(text, 'pan', conditions.get('pan'), /^[0-9]{1,4}$/),
    nth: counting(text, 'nth', conditions.get('nth')),
    times: counting(text, 'times', conditions.get('times')),
    action: parseAction(text, text.slice(colon + 1).trim()),
  }
}

function matching(
  text: string,
  name: string,
  value: string | undefined,
  form: RegExp,
): string | null {
  if (value === undefined) return null
  if (!form.test(value)) throw new FaultRuleError(text, `${name} is not of the right form`)
  return value
}

function counting(text: string, name: string, value: string | undefined): number | null {
  const digits = matching(text, name, value, /^[1-9][0-9]{0,5}$/)
  return digits === null ? null : Number(digits)
}

function parseAmount(text: string, value: string | undefined): [number | null, number | null] {
  if (value === undefined) return [null, null]
  const match = /^([0-9]{1,12})(?:-([0-9]{1,12}))?$/.exec(value)
  if (match === null) throw new FaultRuleError(text, 'amount is minor units, or two of them: 1-500')
  const from = Number(match[1])
  const to = match[2] === undefined ? from : Number(match[2])
  if (to < from) throw new FaultRuleError(text, 'the range of amounts is upside down')
  return [from, to]
}

function parseAction(text: string, word: string): FaultAction {
  const [name = '', value] = word.split('=')
  const kind = FAULT_KINDS.find((one) => one === name.replaceAll('-', '_'))
  if (kind === undefined) throw new FaultRuleError(text, `no action '${name}'`)
  const bounded = (fallback: number, min: number, max: number): number => {
    const number = value === undefined ? fallback : Number(value)
    if (Number.isInteger(number) && number >= min && number <= max) return number
    throw new FaultRuleError(text, `${name} takes a whole number from ${min} to ${max}`)
  }
  switch (kind) {
    case 'decline': {
      const code = value ?? '05'
      if (!/^[0-9A-Z]{2}$/.test(code))
        throw new FaultRuleError(text, 'decline takes two characters')
      return { ...PLAIN_ANSWER, kind, code }
    }
    case 'delay':
      return { ...PLAIN_ANSWER, kind, ms: bounded(DELAY_MS_DEFAULT, 1, DELAY_MS_MAX) }
    case 'late':
      return { ...PLAIN_ANSWER, kind, ms: bounded(LATE_MS_DEFAULT, 1, DELAY_MS_MAX) }
    case 'repeat':
      return { ...PLAIN_ANSWER, kind, count: bounded(1, 1, REPEAT_MAX) }
    default:
      if (value !== undefined) throw new FaultRuleError(text, `${name} takes no value`)
      return { ...PLAIN_ANSWER, kind }
  }
}

/**
 * Reads rules from YAML: a list, or `rules:` with one. An entry is a rule as text, or a mapping
 * with the names of parseRule and `do` for the action.
 *
 * @throws FaultRuleError
 */
export function parseRulesYaml(yaml: string): FaultRule[] {
  const document: unknown = parseYaml(yaml)
  const list = isMapping(document) ? document['rules'] : document
  if (list === null || list === undefined) return []
  if (!Array.isArray(list)) throw new FaultRuleError('(file)', 'expected a list of rules')
  if (list.length > RULES_MAX) throw new FaultRuleError('(file)', `more than ${RULES_MAX} rules`)
  return list.map((entry: unknown) => parseRule(ruleText(entry)))
}

/** The rules of a YAML file. @throws FaultRuleError, or the error of reading the file */
export function readRulesFile(path: string): FaultRule[] {
  return parseRulesYaml(readFileSync(path, 'utf8'))
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function ruleText(entry: unknown): string {
  if (typeof entry === 'string') return entry
  if (!isMapping(entry)) throw new FaultRuleError(String(entry), 'a rule is text or a mapping')
  const conditions = Object.entries(entry)
    .filter(([name]) => name !== 'do')
    .map(([name, value]) => `${name}=${String(value)}`)
  return `${conditions.join(',')}:${String(entry['do'] ?? '')}`
}

/** The rules in force at one peer, with their counts. The first rule that matches decides. */
export class FaultRules {
  #rules: { rule: FaultRule; seen: number; used: number }[] = []

  constructor(rules: readonly FaultRule[] = []) {
    this.replace(rules)
  }

  /** Puts other rules in force; counts begin anew. */
  replace(rules: readonly FaultRule[]): void {
    if (rules.length > RULES_MAX) throw new FaultRuleError('(list)', `more than ${RULES_MAX} rules`)
    this.#rules = rules.map((rule) => ({ rule, seen: 0, used: 0 }))
  }

  /** Adds a rule before the others, so that it decides. @throws FaultRuleError when full */
  add(rule: FaultRule): void {
    if (this.#rules.length >= RULES_MAX) throw new FaultRuleError(rule.text, 'the list is full')
    this.#rules.unshift({ rule, seen: 0, used: 0 })
  }

  /** Rules as text with how often each was used, for operators and tests. */
  list(): { rule: string; used: number }[] {
    return this.#rules.map(({ rule, used }) => ({ rule: rule.text, used }))
  }

  /** What to do with a message; counts it. */
  decide(subject: FaultSubject): FaultAction {
    for (const entry of this.#rules) {
      const { rule } = entry
      if (!concerns(rule, subject)) continue
      entry.seen += 1
      if (rule.nth !== null && entry.seen !== rule.nth) continue
      if (rule.times !== null && entry.used >= rule.times) continue
      entry.used += 1
      return rule.action
    }
    return PLAIN_ANSWER
  }
}

function concerns(rule: FaultRule, subject: FaultSubject): boolean {
  if (rule.mti !== null && rule.mti !== subject.mti) return false
  if (rule.panSuffix !== null && !subject.pan.endsWith(rule.panSuffix)) return false
  if (rule.amountFrom === null || rule.amountTo === null) return true
  const amount = subject.amountMinor
  return amount !== null && amount >= rule.amountFrom && amount <= rule.amountTo
}
