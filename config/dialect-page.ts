/**
 * The reference page of a dialect: fields, then each message with what must, may and must not be in
 * it, legal values and codes. Written by config/publish-dialects.ts; pure text from checked data.
 */
import type { DialectFile, LoadedDialect } from './dialects.ts'
import type { Meaning } from './meaning.ts'
import { mtiWords } from './mti.ts'

const DIRECTION: Readonly<Record<string, string>> = {
  acquirer_to_issuer: 'acquirer to issuer',
  member_to_network: 'member to network',
  network_to_member: 'network to member',
  terminal_to_host: 'terminal to host',
  either: 'either way',
}

/** The page as Markdown. */
export function dialectPage({ spec, meaning }: LoadedDialect): string {
  return [
    `# ${spec.name}: ${spec.description}`,
    '<!-- Made by config/publish-dialects.ts from the dialect file; do not edit. -->',
    overview(spec, meaning),
    '## Fields',
    FIELDS_INTRODUCTION,
    fieldTable(spec, meaning),
    messageSections(spec, meaning),
    '## Legal values',
    valueTables(spec, meaning),
    '## Response codes',
    codeTables(meaning),
  ].filter((part) => part !== '').join('\n\n') + '\n'
}

const FIELDS_INTRODUCTION =
  'Lengths count digits of n, z and x+n, characters of text, bytes of b. `hidden` fields are ' +
  'never shown; `pan` and `track` are shown with six and four digits.'

function overview(spec: DialectFile, meaning: Meaning): string {
  const base = spec.extends === undefined ? '' : `, over \`${spec.extends}\``
  const rows: [string, string][] = [
    ['file', `\`${spec.name}.yaml\`${base}`],
    ['MTI', spec.mti.coding],
    ['bitmaps', `${spec.bitmap.coding}, up to ${spec.bitmap.count}`],
    ['header', spec.header === 'none' ? 'none; the rest is framing' : spec.header],
    ['usual framing', `\`${spec.framing ?? 'none'}\``],
    ['numbers', spec.defaults.n],
    ['numbers with a length prefix', spec.defaults.n_variable ?? ''],
    ['text', spec.defaults.text],
    ['bytes', spec.defaults.b],
    ['length prefixes', spec.defaults.length],
    ['DE7 counts', meaning.transmission_time === 'utc' ? 'UTC' : 'local time'],
    ['an answer is matched by', meaning.matching.map((field) => `DE${field}`).join(', ')],
    ['a request is identified by', meaning.business_key.map(code).join(' ')],
    ['its reversal names it by', meaning.original_key.map(code).join(' ')],
  ]
  const table = markdown(['', ''], rows.filter(([, value]) => value !== ''))
  const variants = Object.entries(meaning.variants).map(([name, text]) => `- ${name}: ${text}`)
  return variants.length === 0 ? table : `${table}\n\nForms in use:\n\n${variants.join('\n')}`
}

function fieldTable(spec: DialectFile, meaning: Meaning): string {
  const rows = Object.entries(spec.fields).map(([number, field]) => {
    const secret = { drop: 'hidden', pan: 'pan', track: 'track', no: '' }[field.secret ?? 'no']
    const counts = meaning.lengths[number]?.counts
    const notes = [
      field.coding ?? '',
      field.shape ?? '',
      counts === undefined ? '' : `counts ${counts.join(' ')}`,
      secret,
    ].filter((note) => note !== '')
    return [number, field.name, formatOf(field), notes.join(', ')]
  })
  const parts = Object.entries(spec.fields).filter(([, field]) => field.parts !== undefined)
  const inner = parts.map(([number, field]) => {
    const named = (field.parts ?? []).map((part) => `\`${part.name}\` ${part.length}`)
    return `DE${number} consists of ${named.join(', ')}.`
  })
  return [markdown(['DE', 'name', 'format', ''], rows), ...inner].join('\n\n')
}

/** `n..19 LL`, `b 8`. */
function formatOf(field: DialectFile['fields'][string]): string {
  const least = field.min === undefined ? '' : `, at least ${field.min}`
  return field.length === 'fixed' ? `${field.kind} ${field.max}`
    : `${field.kind}..${field.max} ${field.length.toUpperCase()}${least}`
}

function messageSections(spec: DialectFile, meaning: Meaning): string {
  const sections = Object.entries(meaning.requests).map(([mti, rules]) => {
    const kinds = meaning.kinds.filter((row) => row.mti.includes(mti)).map((row) => row.kind)
    const title = rules.title === '' ? mtiWords(mti) : rules.title
    const lines = [
      `### ${mti}: ${title}`,
      `${mtiWords(mti)}; ${DIRECTION[rules.direction] ?? rules.direction}.` +
        (kinds.length === 0 ? '' : ` Kinds: ${[...new Set(kinds)].join(', ')}.`),
      ruleTable(spec, rules),
    ]
    for (const one of rules.cases) {
      lines.push(`When ${code(one.when)} (${one.name}):`, ruleTable(spec, one))
    }
    return lines.filter((line) => line !== '').join('\n\n')
  })
  const answers = Object.entries(meaning.replies).map(([to, rules]) => {
    const title = to === 'other' ? 'any other request' : to
    const lines = [
      `### Answer to ${title}`,
      ruleTable(spec, rules),
      rules.echoed.length === 0 ? '' : `Comes back as it was sent: ${listed(rules.echoed)}.`,
      rules.echo.length === 0 ? '' : `Copied into answers of ours: ${listed(rules.echo)}.`,
      ...Object.entries(rules.codes).map(([reason, one]) => `${code(reason)} is answered ${one}.`),
    ]
    return lines.filter((line) => line !== '').join('\n\n')
  })
  const named = Object.entries(meaning.conditions).map(([name, text]) => [code(name), code(text)])
  const conditions = named.length === 0 ? ''
    : `Conditions by name:\n\n${markdown(['name', 'holds when'], named)}`
  return ['## Messages', RULES_INTRODUCTION, conditions, ...sections, ...answers]
    .filter((part) => part !== '').join('\n\n')
}

const RULES_INTRODUCTION =
  '`agreement` is what two institutions agree: a message alone cannot tell. Fields that no row ' +
  'names may be there. `22:0-2` is characters 0 and 1 of DE22.'

interface Rules {
  readonly mandatory: readonly number[]
  readonly conditional: Readonly<Record<string, string>>
  readonly forbidden: readonly number[]
}

function ruleTable(spec: DialectFile, rules: Rules): string {
  const name = (field: number | string): string => spec.fields[field]?.name ?? ''
  const rows = [
    ...rules.mandatory.map((field) => [field, name(field), 'mandatory', '']),
    ...Object.entries(rules.conditional).map(([field, text]) => {
      return [Number(field), name(field), 'conditional', code(text)]
    }),
    ...rules.forbidden.map((field) => [field, name(field), 'forbidden', '']),
  ] as [number, string, string, string][]
  const sorted = rows.sort(([a], [b]) => a - b).map((row) => row.map(String))
  return sorted.length === 0 ? '' : markdown(['DE', 'name', 'presence', 'when'], sorted)
}

function valueTables(spec: DialectFile, meaning: Meaning): string {
  const tables = Object.entries(meaning.values).map(([key, list]) => {
    const field = key.split(':')[0] ?? ''
    const [, range] = key.split(':')
    const part = range === undefined ? '' : `, characters ${range.replace('-', ' up to ')}`
    const open = list.open ? 'The list is open.' : 'No other value is legal.'
    const rows = Object.entries(list.codes).sort(([a], [b]) => (a < b ? -1 : 1))
    return `### DE${field} ${spec.fields[field]?.name ?? ''}${part}\n\n${open}\n\n` +
      markdown(['value', 'meaning'], rows.map(([value, text]) => [code(value), text]))
  })
  return tables.length === 0 ? 'None are listed.' : tables.join('\n\n')
}

function listed(fields: readonly number[]): string {
  return fields.map((field) => `DE${field}`).join(', ')
}

function codeTables(meaning: Meaning): string {
  const reasons = Object.entries(meaning.reasons).sort(([a], [b]) => (a < b ? -1 : 1))
  const received = markdown(['code', 'reason here'], reasons.map(([one, why]) => [code(one), why]))
  const answers = Object.entries(meaning.response_codes)
  const sent = answers.map(([reason, answer]) => [reason, code(answer)])
  return [
    `DE${meaning.response_code_field}. A code that is not listed declines and is counted.`,
    received,
    'What we answer:',
    markdown(['reason', 'code'], sent),
  ].join('\n\n')
}

const code = (text: string): string => `\`${text.replaceAll('|', '\\|')}\``

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
