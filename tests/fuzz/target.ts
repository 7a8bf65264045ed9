/**
 * What a fuzz target is. Targets lie beside the code they try (`*.fuzz.ts`) and are listed in
 * catalogue.ts; the engine runs them.
 */
import type { Random } from './random.ts'

export interface Target {
  /** Lower case and hyphens; failing inputs are named after it. */
  readonly name: string
  /** Paths from the root whose blocks guide the search; a folder ends in a slash. */
  readonly covers: readonly string[]
  /** Longest input in bytes; longer ones are cut. */
  readonly bytesMax: number
  /** Inputs to begin with. */
  seeds(random: Random): readonly Uint8Array[]
  /**
   * A change that knows the structure of the input; null when it finds nothing to change. `other`
   * is another kept input. Absent: only the general changes of mutate.ts are made.
   */
  mutate?(input: Uint8Array, random: Random, other: Uint8Array): Uint8Array | null
  /**
   * Tries one input. Throws when a rule is broken. Returns a word for what happened (a kind of
   * fault, a shape): an input with a word not heard before is kept, which costs less than coverage
   * and sees what lies in tables. Few words: at most some hundred.
   */
  run(input: Uint8Array): string
}

/** A rule that an input breaks: told apart from what the code under test throws by itself. */
export class RuleBroken extends Error {
  constructor(rule: string) {
    super(rule)
    this.name = 'RuleBroken'
  }
}

/** Throws unless `holds`. `rule` is what should have been true. */
export function expect(holds: boolean, rule: string): asserts holds {
  if (!holds) throw new RuleBroken(rule)
}

/** Throws unless both are the same text. */
export function expectSame(got: string, wanted: string, rule: string): void {
  if (got !== wanted) {
    throw new RuleBroken(`${rule}: got ${got.slice(0, 200)}, wanted ${wanted.slice(0, 200)}`)
  }
}
