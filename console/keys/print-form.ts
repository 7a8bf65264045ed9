// `switchyard keys ceremony form` on stdout. Called by console/commands/keys.ts; needs neither
// database nor token.

import { kindFor, KINDS, usageOf } from '../../hsm/ceremony/key-plan.ts'
import type { KeyKind } from '../../hsm/ceremony/key-plan.ts'
import { WrongUsage } from '../help.ts'
import { componentForm } from './form.ts'

/** Prints the pages. @throws WrongUsage for words that are none */
export function printForm(
  name: string,
  options: { usage?: string; kind?: string; components?: string },
): void {
  const { usage = '', kind = 'tdes2' } = options
  const purpose = usage === '' ? null : usageOf(usage)
  if (usage !== '' && purpose === null) throw new WrongUsage(`'${usage}' is no purpose of a key`)
  const known = purpose === null ? kindWord(kind) : kindFor(purpose, kind) ?? kindFor(
    purpose, undefined,
  )
  const components = Number(options.components ?? 2)
  if (known === null) throw new WrongUsage(`--kind is one of ${Object.keys(KINDS).join(' ')}`)
  if (!Number.isInteger(components) || components < 2 || components > 5) {
    throw new WrongUsage('--components is 2 to 5')
  }
  process.stdout.write(componentForm(name, usage, known, components))
}

function kindWord(word: string): KeyKind | null {
  return Object.hasOwn(KINDS, word) ? (word as KeyKind) : null
}
