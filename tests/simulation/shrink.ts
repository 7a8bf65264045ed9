/**
 * Makes a failing run smaller: fewer transactions, fewer faults, calmer peers, as long as the same
 * thing goes wrong. What is left is the shortest story found, not the shortest there is.
 */
import { optionsFor, type Shape } from './shape.ts'
import { type Result, World } from './world.ts'

/** Runs a shape to its end. */
export function runShape(shape: Shape): Promise<Result> {
  return new World(optionsFor(shape)).run()
}

/**
 * The smallest shape found that fails in the same way.
 *
 * @param what the kind of violation that must stay
 * @param runsMax how many runs may be tried
 */
export async function shrink(shape: Shape, what: string, runsMax: number): Promise<Shape> {
  let best = shape
  let runs = 0
  const fails = async (candidate: Shape): Promise<boolean> => {
    if (runs++ >= runsMax) return false
    const result = await runShape(candidate)
    return result.violations.some((one) => one.what === what)
  }
  const take = async (candidate: Shape): Promise<boolean> => {
    if (!(await fails(candidate))) return false
    best = candidate
    return true
  }
  for (let again = true; again && runs < runsMax; ) {
    again = false
    while (best.txns > 2 && (await take({ ...best, txns: Math.ceil(best.txns / 2) }))) again = true
    const places = best.faults ?? optionsFor(best).faults.map((_, place) => place)
    for (const place of [...places].reverse()) {
      const left = (best.faults ?? places).filter((one) => one !== place)
      if (await take({ ...best, faults: left })) again = true
    }
    const { rates } = optionsFor(best)
    for (const name of Object.keys(rates) as Array<keyof typeof rates>) {
      if (rates[name] === 0) continue
      if (await take({ ...best, calm: [...best.calm, name] })) again = true
    }
  }
  return best
}
