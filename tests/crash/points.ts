/**
 * The crash points as they stand in the source, and what must go on for each to be reached.
 *
 * Used by crash.test.ts and soak.ts. The list is read from the source, so that a new point is
 * tested without being listed.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Act } from './floor.ts'

const ROOT = fileURLToPath(new URL('../../switch', import.meta.url))

/** What reaches a point: acts that the terminals prefer, or a stop of the switch. */
export interface Scene {
  readonly acts: readonly Act[]
  readonly stop?: boolean
}

/** Every name given to crashPoint() in switch/, in order of file and line. */
export function pointsInSource(): string[] {
  const names: string[] = []
  for (const path of readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!path.endsWith('.ts') || path.endsWith('.test.ts')) continue
    const text = readFileSync(join(ROOT, path), 'utf8')
    for (const match of text.matchAll(/\bcrashPoint\('([^']*)'\)/g)) names.push(match[1]!)
  }
  return names
}

/** Beginnings of names, the longest match decides; what is not listed is reached by any traffic. */
const SCENES: Readonly<Record<string, Scene>> = {
  drain: { acts: [], stop: true },
  sign_off: { acts: [], stop: true },
  authorize: { acts: ['own', 'incoming'] },
  intent: { acts: ['visa', 'cups'] },
  leg: { acts: ['visa', 'cups'] },
  request: { acts: ['visa', 'cups'] },
  outcome: { acts: ['visa', 'silent', 'cups'] },
  'leg.after_timed_out': { acts: ['silent'] },
  'leg.after_lost': { acts: ['drop'] },
  'leg.after_not_sent': { acts: ['silent', 'visa'] },
  late_answer: { acts: ['late'] },
  duplicate: { acts: ['double'] },
  reversal: { acts: ['undo', 'own'] },
  saf: { acts: ['silent', 'undo', 'late'] },
  'saf.before_park': { acts: ['park'] },
  'saf.after_park': { acts: ['park'] },
  terminal_keys: { acts: ['sign_on'] },
}

/** What must go on until this point is reached. */
export function sceneOf(point: string): Scene {
  const [noun = ''] = point.split('.')
  return SCENES[point] ?? SCENES[noun] ?? { acts: [] }
}
