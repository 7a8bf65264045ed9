/**
 * Failing inputs that are kept in tests/vectors/fuzz/, one file each: the test replays them.
 *
 * A file with `open` is a failure that is known and not mended yet; it says why. The test fails
 * when such an input stops failing, so that the word is taken out.
 */
import { mkdirSync, readFileSync, readdirSync, existsSync, writeFileSync } from 'node:fs'
import { vectorName } from './engine.ts'
import type { Failure } from './engine.ts'

const FOLDER = new URL('../vectors/fuzz/', import.meta.url)

export interface FuzzVector {
  readonly target: string
  readonly hex: string
  /** What was wrong when it was found. */
  readonly what: string
  readonly seed: number
  readonly open?: string
}

/** All kept inputs, by name of their file. */
export function readVectors(): ReadonlyMap<string, FuzzVector> {
  const found = new Map<string, FuzzVector>()
  for (const name of existsSync(FOLDER) ? readdirSync(FOLDER).sort() : []) {
    if (!name.endsWith('.json')) continue
    found.set(name, JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as FuzzVector)
  }
  return found
}

/** Keeps a failing input; returns the name of its file. */
export function keepVector(failure: Failure): string {
  const name = vectorName(failure)
  mkdirSync(FOLDER, { recursive: true })
  const { target, hex, what, seed } = failure
  const vector: FuzzVector = { target, what: what.slice(0, 300), seed, hex }
  writeFileSync(new URL(name, FOLDER), `${JSON.stringify(vector, null, 2)}\n`)
  return name
}
