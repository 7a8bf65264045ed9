/**
 * The dialects as tables of Lua, in front of docs/wireshark/walker.lua: the dissector that
 * Wireshark and tshark load. Written by config/publish-dialects.ts; no table is kept in Lua.
 */
import { readFileSync } from 'node:fs'
import type { DialectFile, LoadedDialect } from './dialects.ts'

const WALKER = new URL('../docs/wireshark/walker.lua', import.meta.url)
const PREFIX_DIGITS = { fixed: 0, l: 1, ll: 2, lll: 3, llll: 4 } as const

type Field = DialectFile['fields'][string]

/** The whole dissector as Lua text. */
export function wiresharkDissector(dialects: readonly LoadedDialect[]): string {
  return [
    '-- Made by config/publish-dialects.ts from config/dialects/ and walker.lua: do not edit.',
    '-- Use: tshark -X lua_script:switchyard.lua -d tcp.port==7102,switchyard_visa -r file.pcap',
    '',
    'local SWITCHYARD_DIALECTS = {',
    ...dialects.map(({ spec }) => tableOf(spec)),
    '}',
    '',
    readFileSync(WALKER, 'utf8'),
  ].join('\n')
}

function tableOf(spec: DialectFile): string {
  const rows = Object.entries(spec.fields).map(([number, field]) => rowOf(spec, number, field))
  return [
    `  { name = ${lua(spec.name)}, description = ${lua(spec.description)},`,
    `    mti = ${lua(spec.mti.coding)}, bitmap = ${lua(spec.bitmap.coding)}, ` +
      `bitmaps = ${spec.bitmap.count}, header = ${lua(spec.header)}, ` +
      `framing = ${lua(spec.framing ?? '2b')},`,
    '    fields = {',
    ...rows,
    '    } },',
  ].join('\n')
}

/** The rules of the codec's compileDialect, which this room may not import; a test compares. */
function rowOf(spec: DialectFile, number: string, field: Field): string {
  const coding = field.coding ?? defaultCoding(spec, field)
  const prefix = field.length === 'fixed' ? '' : (field.length_coding ?? spec.defaults.length)
  const digits = PREFIX_DIGITS[field.length]
  const halved = prefix === 'bcd' || prefix === 'binary'
  const parts = {
    name: field.name, kind: field.kind, coding, prefix, unit: field.length_unit ?? 'digits',
    secret: field.secret ?? 'no',
  }
  const text = Object.entries(parts).map(([key, value]) => `${key} = ${lua(value)}`).join(', ')
  const bytes = halved ? (digits + 1) >> 1 : digits
  return `      [${number}] = { ${text}, prefix_bytes = ${bytes}, max = ${field.max} },`
}

function defaultCoding(spec: DialectFile, field: Field): string {
  const { defaults } = spec
  const variable = field.length !== 'fixed'
  switch (field.kind) {
    case 'n':
      return variable ? (defaults.n_variable ?? defaults.n) : defaults.n
    case 'z':
      return defaults.z
    case 'b':
      return variable ? (defaults.b_variable ?? defaults.b) : defaults.b
    case 'x+n':
      return defaults['x+n']
    default:
      return defaults.text
  }
}

function lua(text: string): string {
  return JSON.stringify(text)
}
