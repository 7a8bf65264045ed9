/**
 * What a dialect asks of a message: mandatory, conditional and forbidden fields, echoed fields,
 * legal values and counts.
 *
 * Used by `switchyard message validate` and `describe`, generated reference pages and tests. It
 * never says what a field holds: a finding carries the field's number and the text of the rule.
 */
import type { ConditionMessage } from './conditions.ts'
import { holds, parseCondition, parsePart, partOf } from './conditions.ts'
import type { Meaning } from './meaning.ts'

type RequestRules = Meaning['requests'][string]
type ReplyRules = Meaning['replies'][string]

/** What holds for one MTI. A dialect's `other` answers for every answer that is not listed. */
export type MessageRules =
  | { readonly kind: 'request'; readonly mti: string; readonly rules: RequestRules }
  | {
      readonly kind: 'reply'
      readonly mti: string
      readonly to: string
      readonly rules: ReplyRules
    }

export interface Finding {
  readonly kind: 'unknown_mti' | 'missing' | 'forbidden' | 'value' | 'length' | 'not_echoed'
  /** 0 when the finding is about the whole message. */
  readonly field: number
  /** The rule that is broken, in the dialect's words; never content of the message. */
  readonly rule: string
}

/** A message to check; a codec View with its `mti` fulfils it. */
export interface CheckedMessage extends ConditionMessage {
  /** Units of the field as the dialect counts it. */
  count(field: number): number
}

/** The MTI of the request that an answer answers: 0110 to 0100, 0432 to 0422. */
export function requestMtiOf(answer: string): string {
  return `${answer.slice(0, 2)}${Number(answer[2]) - 1}${answer.slice(3)}`
}

/** True for answers: the third digit is odd (ISO 8583 clause 4.1). */
export function isAnswer(mti: string): boolean {
  return Number(mti[2]) % 2 === 1
}

/** The rules of an MTI, null when the dialect says nothing of it. */
export function rulesOf(meaning: Meaning, mti: string): MessageRules | null {
  if (!isAnswer(mti)) {
    const rules = meaning.requests[mti]
    return rules === undefined ? null : { kind: 'request', mti, rules }
  }
  const to = requestMtiOf(mti)
  // A repeat is answered like the first: 0431 does not exist, 0430 may answer 0421.
  const rules = meaning.replies[to] ?? meaning.replies['other']
  const known = meaning.requests[to] !== undefined || meaning.replies[to] !== undefined
  return rules === undefined || !known ? null : { kind: 'reply', mti, to, rules }
}

/**
 * What is wrong with a message by the rules of its dialect, in field order.
 *
 * @param request for an answer the request it answers, when it is known: echoes are then compared
 */
export function checkMessage(
  meaning: Meaning, message: CheckedMessage, request: CheckedMessage | null = null,
): Finding[] {
  const found: Finding[] = []
  const rules = rulesOf(meaning, message.mti)
  if (rules === null) found.push({ kind: 'unknown_mti', field: 0, rule: message.mti })
  else {
    checkFields(meaning, rules.rules, '', message, request, found)
    if (rules.kind === 'request') {
      for (const one of rules.rules.cases) {
        if (holds(parseCondition(one.when, meaning.conditions), message, request) !== true) continue
        checkFields(meaning, one, `${one.name}: `, message, request, found)
      }
    } else if (request !== null) checkEchoes(rules.rules, message, request, found)
  }
  checkValues(meaning, message, found)
  checkCounts(meaning, message, found)
  return found.sort((a, b) => a.field - b.field)
}

/** The three lists that an MTI and a case of it both have. */
interface FieldRules {
  readonly mandatory: readonly number[]
  readonly conditional: Readonly<Record<string, string>>
  readonly forbidden: readonly number[]
}

function checkFields(
  meaning: Meaning, rules: FieldRules, prefix: string, message: CheckedMessage,
  request: CheckedMessage | null, found: Finding[],
): void {
  for (const field of rules.mandatory) {
    if (!message.has(field)) found.push({ kind: 'missing', field, rule: `${prefix}mandatory` })
  }
  for (const [key, text] of Object.entries(rules.conditional)) {
    const field = Number(key)
    if (message.has(field)) continue
    if (holds(parseCondition(text, meaning.conditions), message, request) === true) {
      found.push({ kind: 'missing', field, rule: `${prefix}when ${text}` })
    }
  }
  for (const field of rules.forbidden) {
    if (message.has(field)) found.push({ kind: 'forbidden', field, rule: `${prefix}forbidden` })
  }
}

function checkEchoes(
  rules: ReplyRules, message: CheckedMessage, request: CheckedMessage, found: Finding[],
): void {
  for (const field of rules.echoed) {
    if (request.has(field) && message.text(field) !== request.text(field)) {
      found.push({ kind: 'not_echoed', field, rule: 'comes back as it was sent' })
    }
  }
}

/** Values outside a closed list; an open list refuses nothing. */
function checkValues(meaning: Meaning, message: CheckedMessage, found: Finding[]): void {
  for (const [key, list] of Object.entries(meaning.values)) {
    const part = parsePart(key)
    if (part === null || list.open || !message.has(part.field)) continue
    if (list.codes[partOf(message, part)] === undefined) {
      found.push({ kind: 'value', field: part.field, rule: `${key} is one of its listed values` })
    }
  }
}

function checkCounts(meaning: Meaning, message: CheckedMessage, found: Finding[]): void {
  for (const [key, list] of Object.entries(meaning.lengths)) {
    const field = Number(key)
    if (list.open || !message.has(field) || list.counts.includes(message.count(field))) continue
    found.push({ kind: 'length', field, rule: `counts ${list.counts.join(', ')}` })
  }
}

/** Fields that `meaning` names and the dialect does not have; empty when all is well. */
export function unknownFields(
  fields: Readonly<Record<string, unknown>>, meaning: Meaning,
): string[] {
  const unknown: string[] = []
  const ask = (field: number | string, where: string): void => {
    const number = String(field)
    if (fields[number] === undefined) unknown.push(`${where} names field ${number}`)
  }
  const list = (numbers: readonly number[], where: string): void => {
    for (const field of numbers) ask(field, where)
  }
  for (const [mti, shape] of Object.entries(meaning.requests)) {
    list([...shape.mandatory, ...shape.forbidden], `requests.${mti}`)
    for (const table of [shape.conditional, shape.build]) {
      for (const field of Object.keys(table)) ask(field, `requests.${mti}`)
    }
    for (const one of shape.cases) list([...one.mandatory, ...one.forbidden], `requests.${mti}`)
  }
  for (const [mti, shape] of Object.entries(meaning.replies)) {
    list([...shape.echo, ...shape.echoed, ...shape.mandatory, ...shape.forbidden], `replies.${mti}`)
    for (const table of [shape.conditional, shape.set, shape.approved]) {
      for (const field of Object.keys(table)) ask(field, `replies.${mti}`)
    }
  }
  list(meaning.matching, 'matching')
  for (const key of Object.keys(meaning.values)) ask(key.split(':')[0] ?? '', 'values')
  for (const key of Object.keys(meaning.lengths)) ask(key, 'lengths')
  return unknown
}
