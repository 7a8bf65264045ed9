/**
 * Conditions of message rules: small texts in a dialect file that say when a field must be there.
 *
 * Used by config/meaning.ts (checked when a dialect is read), config/message-rules.ts (asked of a
 * message) and the generated reference pages. They are data: nothing is evaluated but this grammar.
 *
 *   condition := all { "or" all }        all := one { "and" one }
 *   one       := "not" one | "agreement" | NAME
 *              | ["request"] "field" N
 *              | ["request"] PART "is" VALUE { VALUE }
 *
 * PART is `22` or `22:0-2` (characters 0 and 1 of field 22), or `mti` likewise. NAME is a
 * condition that the dialect names under `conditions:`. `agreement` is what two institutions
 * agree: a message cannot tell.
 */

/** Some characters of a field, from `from` up to and without `to`; field 0 is the MTI. */
export interface FieldPart {
  readonly field: number
  readonly from: number
  readonly to: number
}

export type Condition =
  | { readonly kind: 'agreement' }
  | { readonly kind: 'has'; readonly inRequest: boolean; readonly field: number }
  | {
      readonly kind: 'is'
      readonly inRequest: boolean
      readonly part: FieldPart
      readonly values: readonly string[]
    }
  | { readonly kind: 'not'; readonly of: Condition }
  | { readonly kind: 'and' | 'or'; readonly parts: readonly Condition[] }

/** What a condition asks of a message: a codec View fulfils it. */
export interface ConditionMessage {
  readonly mti: string
  has(field: number): boolean
  /** The field as text, empty when it is not there. */
  text(field: number): string
}

const PART = /^(mti|[0-9]{1,3})(?::([0-9]+)-([0-9]+))?$/
/** Named conditions may use each other so deep; a circle ends there. */
const NAMES_DEEP_MAX = 8

/** `22` or `22:0-2`; null when the text is neither. */
export function parsePart(text: string): FieldPart | null {
  const match = PART.exec(text)
  if (match === null) return null
  const from = match[2] === undefined ? 0 : Number(match[2])
  const to = match[3] === undefined ? Infinity : Number(match[3])
  return to > from ? { field: match[1] === 'mti' ? 0 : Number(match[1]), from, to } : null
}

/**
 * Reads a condition. Throws an Error that names the word which does not belong there.
 *
 * @param named the dialect's own conditions by name
 */
export function parseCondition(
  text: string, named: Readonly<Record<string, string>> = {}, depth = 0,
): Condition {
  if (depth > NAMES_DEEP_MAX) throw new Error(`condition "${text}" refers to itself`)
  const words = text.trim().split(/\s+/)
  const anyOf = split(words, 'or').map((all) => {
    return joined('and', split(all, 'and').map((one) => parseOne(one, named, depth)))
  })
  return joined('or', anyOf)
}

function split(words: readonly string[], at: 'and' | 'or'): string[][] {
  let part: string[] = []
  const parts = [part]
  for (const word of words) {
    if (word === at) parts.push((part = []))
    else part.push(word)
  }
  return parts
}

function joined(kind: 'and' | 'or', parts: readonly Condition[]): Condition {
  const only = parts[0]
  return parts.length === 1 && only !== undefined ? only : { kind, parts }
}

function parseOne(
  words: readonly string[], named: Readonly<Record<string, string>>, depth: number,
): Condition {
  const [first = '', ...rest] = words
  if (first === 'not') return { kind: 'not', of: parseOne(rest, named, depth) }
  if (first === 'request') return parseAtom(rest, true)
  if (words.length === 1 && first === 'agreement') return { kind: 'agreement' }
  const known = named[first]
  if (words.length === 1 && known !== undefined) return parseCondition(known, named, depth + 1)
  return parseAtom(words, false)
}

function parseAtom(words: readonly string[], inRequest: boolean): Condition {
  const [first = '', second = '', ...values] = words
  if (first === 'field' && words.length === 2 && /^[0-9]{1,3}$/.test(second)) {
    return { kind: 'has', inRequest, field: Number(second) }
  }
  const part = parsePart(first)
  if (part !== null && second === 'is' && values.length > 0) {
    return { kind: 'is', inRequest, part, values }
  }
  throw new Error(`"${words.join(' ')}" is no condition (field N, N is VALUE, N:FROM-TO is VALUE)`)
}

/**
 * Whether a condition holds for a message; null when the message alone cannot tell (an agreement,
 * or a question about a request that was not given).
 */
export function holds(
  condition: Condition, message: ConditionMessage, request: ConditionMessage | null = null,
): boolean | null {
  switch (condition.kind) {
    case 'agreement':
      return null
    case 'has': {
      const asked = condition.inRequest ? request : message
      return asked === null ? null : asked.has(condition.field)
    }
    case 'is': {
      const asked = condition.inRequest ? request : message
      if (asked === null) return null
      return condition.values.includes(partOf(asked, condition.part))
    }
    case 'not': {
      const found = holds(condition.of, message, request)
      return found === null ? null : !found
    }
    case 'and':
    case 'or': {
      const settles = condition.kind === 'or'
      const all = condition.parts.map((part) => holds(part, message, request))
      if (all.includes(settles)) return settles
      return all.includes(null) ? null : !settles
    }
  }
}

/** The characters a part names, without blanks around them. */
export function partOf(message: ConditionMessage, part: FieldPart): string {
  const text = part.field === 0 ? message.mti : message.text(part.field)
  return text.slice(part.from, part.to).trim()
}
