/**
 * One life of the switch in the simulation: the wiring of the product on virtual ports. When it is
 * killed everything in its memory is gone; the store, the token and the world go on.
 */
import { KeyCache } from '../../hsm/key-directory.ts'
import type { Hsm, HsmOutcome, HsmStatus } from '../../hsm/port.ts'
import { JournalUnavailable } from '../../switch/journal/port.ts'
import { MemoryJournal, type Fate, type Weather } from '../../switch/journal/memory.ts'
import type { Clock, Timer } from '../../switch/runtime/clock.ts'
import { type Wired, type Witness, wirePipeline } from '../../switch/wiring.ts'
import type { Chance } from './chance.ts'
import { Host } from './net.ts'
import type { World } from './world.ts'

/** The clock of one process: its timers die with it, its wall may be wrong. */
export class ProcessClock implements Clock {
  readonly #base: Clock
  readonly #skew: () => number
  dead = false
  live = 0 // timers not yet fired nor cancelled

  constructor(base: Clock, skew: () => number) {
    this.#base = base
    this.#skew = skew
  }

  wallMs(): number {
    return this.#base.wallMs() + this.#skew()
  }

  monotonicMs(): number {
    return this.#base.monotonicMs()
  }

  after(delayMs: number, fn: () => void): Timer {
    if (this.dead) return { cancel: () => undefined }
    let waiting = true
    this.live++
    const timer = this.#base.after(delayMs, () => {
      if (waiting) this.live--
      waiting = false
      if (!this.dead) fn()
    })
    return {
      cancel: () => {
        if (waiting) this.live--
        waiting = false
        timer.cancel()
      },
    }
  }

  every(periodMs: number, fn: () => void): Timer {
    if (this.dead) return { cancel: () => undefined }
    this.live++
    let waiting = true
    const timer = this.#base.every(periodMs, () => {
      if (this.dead) timer.cancel()
      else fn()
    })
    return {
      cancel: () => {
        if (waiting) this.live--
        waiting = false
        timer.cancel()
      },
    }
  }
}

const VERBS = [
  'translatePin', 'verifyPin', 'generateMac', 'verifyMac', 'verifyArqc', 'generateArpc',
  'verifyCvv', 'makeWorkingKey', 'importWorkingKey', 'vaultKeys',
] as const

const BELIEVED = { outcome: 'ok', value: new Uint8Array(10) }

/** The token as one process reaches it: it takes time, and may be away. */
function tokenFor(world: World, clock: Clock, chance: Chance): Hsm {
  const call = async (work: () => Promise<unknown>): Promise<unknown> => {
    if (world.tokenAway) {
      await new Promise<void>((resolve) => clock.after(1 + chance.below(2_000), resolve))
      const outcome: HsmOutcome = chance.below(2) === 0 ? 'unavailable' : 'overloaded'
      return { outcome }
    }
    if (chance.below(4) === 0) {
      await new Promise<void>((resolve) => clock.after(1 + chance.below(8), resolve))
    }
    return work()
  }
  const token = {
    status: (): HsmStatus => world.token.status(),
    close: (): Promise<void> => Promise.resolve(),
  } as Record<string, unknown>
  for (const verb of VERBS) {
    const ask = world.token[verb].bind(world.token) as (request: unknown) => Promise<unknown>
    token[verb] = (request: unknown) => call(() => ask(request))
  }
  // Most runs are about money and not about cryptograms; the secured ones compute them.
  if (!world.options.secured) token['verifyArqc'] = () => call(() => Promise.resolve(BELIEVED))
  return token as unknown as Hsm
}

export class SwitchProcess {
  readonly clock: ProcessClock
  readonly host: Host
  readonly keys: KeyCache
  readonly journal: MemoryJournal
  readonly #world: World
  readonly #chance: Chance
  wired: Wired | null = null
  started = false

  constructor(world: World, number: number) {
    this.#world = world
    this.#chance = world.fork(`switch ${number}`)
    this.clock = new ProcessClock(world.clock, () => world.skewMs)
    this.host = new Host(world.net, 'switch')
    this.host.onWrite = () => world.fateOfWrite()
    this.host.onDeath = () => world.killSwitch()
    this.journal = new MemoryJournal({
      store: world.store,
      clock: this.clock,
      random: this.#chance,
      weather: this.#weather(),
      broken: (why) => world.violate('database_refused', why),
    })
    this.keys = new KeyCache(this.journal)
  }

  /** Starts as main.ts does: what was in doubt first, then wiring, then links. */
  async boot(): Promise<void> {
    const { config, dialects } = this.#world
    await this.journal.recover(this.clock.wallMs())
    this.wired = await wirePipeline(
      config,
      dialects,
      {
        journal: this.journal,
        hsm: tokenFor(this.#world, this.clock, this.#chance),
        keys: this.keys,
        net: this.host,
        clock: this.clock,
        random: this.#chance,
      },
      { witness: this.#witness() },
    )
    await this.wired.start()
    this.started = true
  }

  /** SIGKILL: nothing of it happens any more. */
  kill(): void {
    this.clock.dead = true
    this.host.kill()
  }

  #weather(): Weather {
    const world = this.#world
    const dead: Fate = { end: 'silence', written: 'no' }
    return {
      readMs: () => (this.#chance.below(3) === 0 ? 1 + this.#chance.below(world.readMs) : 0),
      commitMs: () => world.commitMs(this.#chance),
      readable: () => !this.clock.dead && !world.databaseGone,
      fate: () => (this.clock.dead ? dead : world.fateOfCommit(this.#chance)),
    }
  }

  #witness(): Witness {
    const world = this.#world
    return {
      completed: () => undefined,
      lateAnswer: (_link, owner, _code) => world.lateAnswer(owner),
      unmatchedAnswer: () => {
        world.counts.unmatched++
      },
      unmappedCode: () => undefined,
      undelivered: () => undefined,
      reversalUnseen: () => undefined,
      reversalMismatched: () => undefined,
      reversalQueued: () => undefined,
      safAttempted: (_route, _txn, outcome) => {
        if (outcome === 'parked') world.violate('parked', 'a reversal was parked')
      },
      rejected: (link) => world.violate('rejected', `${link} rejected a message of ours`),
      failed: (where, error) => {
        // A refusal that was not delivered is noted although nothing was stored of it: known.
        if (where === 'journal.note') return
        if (!(error instanceof JournalUnavailable)) {
          world.violate('failed', `${where}: ${error instanceof Error ? error.stack : error}`)
        }
      },
      linkChanged: () => undefined,
      malformed: (link, fault) => {
        world.violate('malformed', `${link} ${fault.kind} ${fault.field}`)
      },
      keyInForce: () => undefined,
    }
  }
}

