/**
 * A run as a command names it: the seed and what was taken away from it. The shrinker takes away,
 * the command line gives it back.
 */
import { optionsOf, type Options, type Rates } from './options.ts'

export interface Shape {
  seed: number
  txns: number
  of: number // transactions for which the faults were planned
  faults: number[] | null // places of the planned faults that happen; null = all
  calm: Array<keyof Rates> // odds that are zero
}

export const TXNS_OF_A_SEED = 500

/** The whole run of a seed. */
export function wholeShape(seed: number, txns: number): Shape {
  return { seed, txns, of: txns, faults: null, calm: [] }
}

/** The options of a shape. */
export function optionsFor(shape: Shape): Options {
  const options = optionsOf(shape.seed, shape.of)
  options.txns = shape.txns
  const { faults } = shape
  if (faults !== null) options.faults = options.faults.filter((_, place) => faults.includes(place))
  for (const name of shape.calm) options.rates[name] = 0
  return options
}

/** The command that runs a shape again. */
export function commandOf(shape: Shape): string {
  const parts = [`npm run simulate -- --seed ${shape.seed} --txns ${shape.txns}`]
  if (shape.of !== shape.txns) parts.push(`--of ${shape.of}`)
  if (shape.faults !== null) parts.push(`--faults ${shape.faults.join(',') || 'none'}`)
  if (shape.calm.length > 0) parts.push(`--calm ${shape.calm.join(',')}`)
  return parts.join(' ')
}
