/**
 * Instants at which a test may kill this process: `kill -9` by its own hand, at a named place of
 * the code.
 *
 * Called at the places that matter for money in switch/; armed once by console/commands/run.ts from
 * SWITCHYARD_CRASH_AT, in the demonstration only. Not armed, a call is one comparison. It must
 * never do anything but count and kill: what the process would have written next is what the test
 * is about. tests/crash/ drives it; docs/reliability.md lists the points.
 */

import { writeSync } from 'node:fs'

const STDERR = 2
/** `noun.after_verb:nth`, e.g. `outcome.after_commit:3`. */
const FORM = /^([a-z_]+\.[a-z_]+):([1-9][0-9]{0,5})$/

let armed = false
let target = ''
let left = 0

/**
 * Arms one point for the life of this process.
 *
 * @param at `name:nth`: die when `name` is reached for the nth time; null arms nothing
 * @returns false when the text is not of that form
 */
export function armCrashPoint(at: string | null): boolean {
  if (at === null) return true
  const parts = FORM.exec(at)
  if (parts === null) return false
  const [, name = '', nth = ''] = parts
  target = name
  left = Number(nth)
  armed = true
  return true
}

/** Dies here when a test asked for it; else nothing. */
export function crashPoint(name: string): void {
  if (armed && name === target) reached(name)
}

function reached(name: string): void {
  left--
  if (left > 0) return
  writeSync(STDERR, `crash point ${name} reached\n`) // so that the test knows who killed it
  process.kill(process.pid, 'SIGKILL')
}
