/**
 * The built-in dialects, each read once for all targets: as the codec has it and as the slow
 * decoder has it. Used by fuzz targets.
 */
import { dialectNames, loadDialectSpec } from '../../config/dialects.ts'
import { compileDialect } from '../../switch/codec/dialect.ts'
import type { Dialect } from '../../switch/codec/dialect.ts'
import type { DialectSpec } from '../../switch/codec/spec.ts'
import { slowDialect } from './slow-decoder.ts'
import type { SlowDialect } from './slow-decoder.ts'

export interface BothDialects {
  readonly name: string
  readonly spec: DialectSpec
  readonly dialect: Dialect
  readonly slow: SlowDialect
}

export const ALL_DIALECTS: readonly BothDialects[] = dialectNames().map((name) => {
  const spec = loadDialectSpec(name)
  return { name, spec, dialect: compileDialect(spec), slow: slowDialect(name) }
})

/** The dialect of that name, as the slow decoder has it. */
export function slowOf(name: string): SlowDialect {
  const found = ALL_DIALECTS.find((one) => one.name === name)
  if (found === undefined) throw new Error(`no dialect ${name}`)
  return found.slow
}
