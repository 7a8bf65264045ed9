// `switchyard keys ceremony form`: a page for each component's envelope, to print and fill in by
// hand. PURE. It knows no key and takes none.

import { KINDS } from '../../hsm/ceremony/key-plan.ts'
import type { KeyKind } from '../../hsm/ceremony/key-plan.ts'

const GROUP = 4
const GROUPS_A_LINE = 4

/** Pages of a form, one a component, a form feed between them. */
export function componentForm(
  name: string,
  usage: string,
  kind: KeyKind,
  components: number,
): string {
  const pages = Array.from({ length: components }, (_, at) =>
    page(name, usage, kind, at + 1, components),
  )
  return pages.join('\f\n')
}

function page(name: string, usage: string, kind: KeyKind, part: number, of: number): string {
  const { bytes, kcvBytes, words } = KINDS[kind]
  const blank = '_'.repeat(30)
  const rule = '='.repeat(72)
  return [
    rule,
    `KEY COMPONENT ${part} OF ${of}                                   STRICTLY PERSONAL`,
    rule,
    `Key name          ${name === '' ? blank : name}`,
    `Purpose           ${usage === '' ? blank : usage}`,
    `Kind              ${words}, ${bytes * 2} hex digits`,
    `Envelope number   ${blank}`,
    `Custodian         ${blank}`,
    '',
    'Component (write 0-9 A-F, one digit a box, groups of four):',
    '',
    ...boxes(bytes * 2),
    '',
    `Check value of this component (${kcvBytes * 2} digits):   ${'[_]'.repeat(kcvBytes * 2)}`,
    '',
    'Made by           ' + blank + '  Date ____________',
    'Sealed before     ' + blank + '  Date ____________',
    'Opened by         ' + blank + '  Date ____________',
    '',
    '- One officer holds one component of a key and sees no other.',
    '- Fill in by hand, never on a computer; no copy, no photograph.',
    '- Put this page into an opaque, numbered, tamper-evident envelope. Note its number elsewhere.',
    '- At the ceremony: check the envelope and its number first. If it was opened, stop.',
    '- After the ceremony: put it back under seal, or destroy it before a witness who signs here:',
    '',
    'Destroyed before  ' + blank + '  Date ____________',
    rule,
    '',
  ].join('\n')
}

function boxes(digits: number): string[] {
  const lines: string[] = []
  const perLine = GROUP * GROUPS_A_LINE
  for (let at = 0; at < digits; at += perLine) {
    const count = Math.min(perLine, digits - at) / GROUP
    const first = String(at + 1).padStart(2)
    lines.push(`  ${first}  ${Array(count).fill('[_]'.repeat(GROUP)).join('   ')}`, '')
  }
  return lines.slice(0, -1)
}
