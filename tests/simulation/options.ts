/**
 * What one seed means: how much traffic, how often peers misbehave, which faults come when.
 * Printed by the runner, so that a run can be read; made smaller by the shrinker.
 */
import { Chance } from './chance.ts'

/** Odds in ten thousand, per message or transaction. */
export interface Rates {
  decline: number // the issuer says no
  deaf: number // the network loses the request
  lost: number // the network loses the answer
  late: number // the answer comes after its time
  duplicate: number // the answer comes twice
  badMac: number // an answer with a wrong MAC
  unknownCode: number // an answer code that no table has
  reversalDeaf: number
  reversalLost: number
  reversalRetry: number // the network asks for the reversal again
  resend: number // a terminal sends its request again while it waits
  repeat: number // a terminal sends its request again after its answer
  cancel: number // a terminal reverses an approved sale
  early: number // a terminal reverses before it has an answer
  overtake: number // a reversal arrives before its original
  forge: number // another amount under a known key
  wrongPin: number
  split: number // bytes arrive in pieces
  slow: number // one delivery takes seconds
}

export const FAULT_KINDS = [
  'switch_crash', 'crash_at_commit', 'crash_at_write', 'switch_restart', 'db_stall', 'db_gone',
  'db_unknown', 'token_outage', 'scheme_down', 'line_cut', 'line_half_open', 'line_stall',
  'sign_off', 'new_keys', 'clock_step', 'terminal_cut',
] as const

export type FaultKind = (typeof FAULT_KINDS)[number]

/** One planned fault. `size` and `choice` mean what the kind needs. */
export interface PlannedFault {
  kind: FaultKind
  atMs: number
  forMs: number
  scheme: 'visa' | 'cups'
  size: number
  choice: number
}

export interface Options {
  seed: number
  txns: number
  terminals: number
  perSecond: number // transactions offered, all originators together
  secured: boolean // MACs and PINs, with the token in the way
  startMs: number // wall clock at the start
  delayMs: number // longest usual delay of the network
  commitMs: number // longest usual commit
  replyMs: number // how long networks may take
  acquirerShare: number // of 100: transactions that CUPS brings
  rates: Rates
  faults: PlannedFault[]
}

const HOUR_MS = 3_600_000
/** Local time (UTC+8) instants at which dates change in awkward ways; R11. */
const AWKWARD_STARTS: readonly number[] = [
  Date.UTC(2026, 0, 5, 8), // a Monday, nothing special
  Date.UTC(2026, 2, 9, 14, 59, 40), // 22:59:40, just before cut-over
  Date.UTC(2026, 2, 9, 15, 59, 40), // just before midnight
  Date.UTC(2026, 11, 31, 15, 59, 30), // just before the new year
  Date.UTC(2028, 1, 28, 14, 59, 30), // before the cut-over to 29 February
  Date.UTC(2028, 1, 29, 15, 59, 30), // before 1 March of a leap year
  Date.UTC(2027, 1, 28, 14, 59, 30), // before 1 March of another year
]

/** The options of a seed. */
export function optionsOf(seed: number, txns: number): Options {
  const chance = new Chance(`options ${seed}`)
  const wild = chance.below(100)
  const secured = chance.below(100) < 15
  const perSecond = chance.pick([1, 2, 4, 8, 20])
  const options: Options = {
    seed,
    txns,
    terminals: chance.between(2, 8),
    perSecond,
    secured,
    startMs: chance.pick(AWKWARD_STARTS) + chance.below(20) * 1_000,
    delayMs: chance.pick([1, 5, 40, 150]),
    commitMs: chance.pick([1, 2, 5, 20]),
    replyMs: chance.pick([1_500, 3_000, 6_000]),
    acquirerShare: chance.pick([0, 20, 40]),
    rates: ratesOf(chance, wild),
    faults: [],
  }
  const lengthMs = (txns / perSecond) * 1_000
  const count = wild < 10 ? 0 : chance.between(1, Math.min(14, 3 + Math.ceil(lengthMs / 15_000)))
  for (let i = 0; i < count; i++) options.faults.push(faultOf(chance, lengthMs))
  options.faults.sort((a, b) => a.atMs - b.atMs)
  return options
}

function ratesOf(chance: Chance, wild: number): Rates {
  // One seed in ten has peers that behave; the others misbehave by very different amounts.
  const scale = wild < 10 ? 0 : chance.pick([20, 100, 400])
  const rate = (): number => (chance.below(2) === 0 ? 0 : chance.below(scale + 1))
  return {
    decline: chance.below(1_000),
    deaf: rate(),
    lost: rate(),
    late: rate(),
    duplicate: rate(),
    badMac: rate(),
    unknownCode: rate(),
    reversalDeaf: rate() * 5,
    reversalLost: rate() * 5,
    reversalRetry: rate() * 5,
    resend: rate() * 2,
    repeat: rate() * 2,
    cancel: rate() * 2,
    early: rate(),
    overtake: rate(),
    forge: rate(),
    wrongPin: rate(),
    split: chance.below(2) * chance.below(3_000),
    slow: rate(),
  }
}

function faultOf(chance: Chance, lengthMs: number): PlannedFault {
  return {
    kind: chance.pick(FAULT_KINDS),
    atMs: 2_000 + chance.below(Math.max(1, Math.floor(lengthMs))),
    forMs: chance.pick([200, 1_000, 4_000, 9_000, 30_000]) + chance.below(1_000),
    scheme: chance.pick(['visa', 'cups'] as const),
    size: chance.pick([HOUR_MS, -HOUR_MS, -100, -5_000, 60_000]),
    choice: chance.below(1_000),
  }
}
