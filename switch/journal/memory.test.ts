// The journal in memory against the one on PostgreSQL: the same requests, one after another and
// several at once, get the same answers and leave the same books. What differs by nature
// (authorization codes by chance, times) is left out of the comparison. Prints its seed.
import t, { type Test } from 'tap'
import { SHORTFALL_ACCOUNT } from './act-outcome.ts'
import {
  authorizeRequest, balance, card, CURRENCY, imbalance, intentRequest, movement,
  newJournal, outcome, outcomeOf, reverseRequest, startServer, token,
} from './database-for-tests.ts'
import { MemoryJournal, type Fate } from './memory.ts'
import { MemoryStore } from './memory-store.ts'
import { type Journal, JournalUnavailable, type ReversalCause } from './port.ts'
import { systemClock } from '../runtime/clock.ts'
import { type Random, seededRandom } from '../runtime/random.ts'

const CARDS = [
  card(1),
  card(2, { openingBalanceMinor: 25_000, floorMinor: -1_000, dailyCountMax: 6 }),
  card(3, { status: 'lost' }),
]
const ACCOUNTS = [
  'customer:1', 'customer:2', 'merchant:M00000000000001', 'receivable:visa', SHORTFALL_ACCOUNT,
]
const ROUNDS = 120
const BUDGET_MS = 9_000

interface InMemory {
  store: MemoryStore
  journal: MemoryJournal
  broken: string[]
}

function memory(fate?: () => Fate): InMemory {
  const store = new MemoryStore()
  for (const one of CARDS) store.seedCard(one, '2026-11-22')
  const broken: string[] = []
  const weather = {
    readMs: () => 0, commitMs: () => 0, readable: () => true, fate: fate ?? (() => DONE),
  }
  const journal = new MemoryJournal({
    store, clock: systemClock, random: seededRandom('memory'), weather,
    broken: (why) => broken.push(why),
  })
  return { store, journal, broken }
}

const DONE: Fate = { end: 'done' }

/** One call that both journals get, with what of its result must be equal. */
type Call = (journal: Journal) => Promise<unknown>

/** Chooses calls over few keys and cards, so that they meet. */
class Script {
  readonly #random: Random
  readonly keys: string[] = []
  readonly intents: string[] = []
  readonly #bodies = new Map<string, Parameters<typeof authorizeRequest>[0]>()
  #reversals = 0

  constructor(random: Random) {
    this.#random = random
    for (let n = 0; n < 40; n++) this.keys.push(`pos|contract|${n}`)
  }

  pick<T>(from: readonly T[]): T {
    return from[this.#random.below(from.length)] as T
  }

  next(): Call {
    const draw = this.#random.below(100)
    if (draw < 30) return this.#authorize()
    if (draw < 50) return this.#intend()
    if (draw < 70) return this.#conclude()
    return this.#reverse()
  }

  /** The same key has the same body but for one in eight. */
  #facts(): Parameters<typeof authorizeRequest>[0] {
    const key = this.pick(this.keys)
    let body = this.#bodies.get(key)
    if (body === undefined) {
      const kind = this.pick(['purchase', 'purchase', 'cash', 'refund', 'balance'] as const)
      body = {
        businessKey: key,
        bodyHash: `hash of ${key}`,
        kind,
        panToken: token(1 + this.#random.below(4)),
        amountMinor: kind === 'balance' ? 0 : 100 * (1 + this.#random.below(90)),
        rrn: `R${key.slice(-2).replace('|', '0').padStart(11, '0')}`,
      }
      this.#bodies.set(key, body)
    }
    return this.#random.below(8) === 0 ? { ...body, bodyHash: 'another' } : body
  }

  #authorize(): Call {
    const pin = this.pick(['ok', 'ok', 'ok', 'wrong', 'absent'] as const)
    const request = authorizeRequest(this.#facts(), { pin })
    return async (journal) => {
      const { occurrence, answer } = await journal.authorize(request)
      return { occurrence, ...answer, authCode: answer.authCode === '' ? '' : 'some' }
    }
  }

  #intend(): Call {
    const request = intentRequest({ ...this.#facts(), route: 'visa' })
    this.intents.push(request.facts.id)
    return async (journal) => {
      const { occurrence, answer } = await journal.intend(request)
      return { occurrence, reason: answer?.reason }
    }
  }

  #conclude(): Call {
    if (this.intents.length === 0) return this.#intend()
    const state = this.pick(['approved', 'approved', 'declined', 'timed_out', 'not_sent'] as const)
    const cause: ReversalCause | null = state === 'timed_out' ? 'timeout' : null
    const request = outcome(this.pick(this.intents), {
      state,
      movements: state === 'approved' ? [movement(700)] : [],
      reversal: cause,
    })
    return (journal) => journal.conclude(request)
  }

  #reverse(): Call {
    const facts = this.#facts() ?? {}
    const originalKey = facts.businessKey ?? ''
    const number = this.#random.below(4) === 0 ? this.#reversals : ++this.#reversals
    const partly = this.#random.below(4) === 0 && (facts.amountMinor ?? 0) > 100
    const request = reverseRequest(
      originalKey,
      { ...facts, businessKey: `${originalKey}|R${number}` },
      partly ? 100 : null,
    )
    return async (journal) => {
      const { occurrence, outcome: ended, original } = await journal.reverse(request)
      return { occurrence, ended, state: original?.state, reason: original?.answer?.reason }
    }
  }
}

/** What became of a call: its result, or the kind of its failure. */
async function told(journal: Journal, call: Call): Promise<unknown> {
  const result = await outcomeOf(call(journal))
  return result instanceof Error ? `failed ${result.message}` : result
}

const server = await startServer()
t.teardown(() => server.stop())

t.test('memory and PostgreSQL decide alike and end with the same books', async (t) => {
  const seed = systemClock.wallMs() % 1_000_000
  t.comment(`seed ${seed}`)
  const random = seededRandom(seed)
  const script = new Script(random)
  const { url, journal } = await newJournal(server, CARDS)
  t.teardown(() => journal.close())
  const { store, journal: other, broken } = memory()
  const until = systemClock.monotonicMs() + BUDGET_MS
  for (let round = 0; round < ROUNDS && systemClock.monotonicMs() < until; round++) {
    const calls = Array.from({ length: 1 + random.below(5) }, () => script.next())
    const wanted = await Promise.all(calls.map((call) => told(journal, call)))
    const found = await Promise.all(calls.map((call) => told(other, call)))
    if (!t.same(found, wanted, `round ${round} of seed ${seed}`)) break
    if (round % 10 === 9) await settleSome(journal, other, random, t)
  }
  t.equal(await other.recover(systemClock.wallMs()), await journal.recover(systemClock.wallMs()))
  for (const code of ACCOUNTS) {
    t.same([store.balance(code, CURRENCY)], [await balance(url, code)], code)
  }
  t.same(await listed(other), await listed(journal), 'store-and-forward')
  for (let n = 0; n < 40; n++) {
    const rrn = `R${String(n).padStart(11, '0')}`
    t.same(await histories(other, rrn), await histories(journal, rrn), rrn)
  }
  t.same(await imbalance(url), [])
  t.same(store.imbalance(), [])
  t.same(broken, [], 'nothing that PostgreSQL would refuse')
})

/** Some reversals are tried, acknowledged or parked; both journals offer the same ones. */
async function settleSome(one: Journal, other: Journal, random: Random, t: Test): Promise<void> {
  t.equal(await other.takeNumbers('a', 7, 40), await one.takeNumbers('a', 7, 40), 'numbers')
  const now = systemClock.wallMs() + 1_000
  const [wanted, found] = [await one.dueSaf('visa', now, 5), await other.dueSaf('visa', now, 5)]
  const shown = (rows: typeof wanted): unknown => {
    return rows.map(({ facts, cause, attempts, reversalStan, releasedMinor, answer }) => {
      return [facts.businessKey, cause, attempts, reversalStan, releasedMinor, answer?.reason]
    })
  }
  t.same(shown(found), shown(wanted), 'due rows')
  for (const [place, row] of wanted.entries()) {
    const draw = random.below(3)
    const stan = String(100_000 + place)
    for (const [journal, id] of [[one, row.id], [other, found[place]?.id ?? '0']] as const) {
      await journal.safAttempt(id, stan, '1122220000', now - 500)
      if (draw === 1) await journal.safAcknowledge(id, '00')
      if (draw === 2) await journal.safPark(id, '05', 'refused')
    }
  }
}

async function listed(journal: Journal): Promise<string[]> {
  const rows = await journal.safList()
  return rows
    .map((row) => `${row.rrn} ${row.state} ${row.attempts} ${row.amountMinor} ${row.lastAnswer}`)
    .sort()
}

async function histories(journal: Journal, rrn: string): Promise<string[]> {
  const rows = await journal.history(rrn)
  return rows
    .map(({ facts, state, answer, postings, saf }) => {
      const moved = postings.map((one) => `${one.debit}>${one.credit} ${one.amountMinor}`)
      return JSON.stringify([facts.businessKey, state, answer?.reason, moved, saf.length])
    })
    .sort()
}

t.test('a commit whose answer is lost is unknown, whatever became of it', async (t) => {
  for (const written of ['yes', 'no', 'later'] as const) {
    let fate: Fate = { end: 'unknown', written }
    const { store, journal } = memory(() => fate)
    const request = authorizeRequest()
    const lost = await outcomeOf(journal.authorize(request))
    t.ok(lost instanceof JournalUnavailable && lost.outcomeUnknown, written)
    t.equal(store.byKey.has(request.facts.businessKey), written === 'yes')
    fate = DONE
    const again = await journal.authorize(request)
    t.equal(again.occurrence, written === 'no' ? 'new' : 'replay', written)
    t.equal(store.balance('customer:1', CURRENCY), 990_000)
  }
})

t.test('what a dead process had not committed is gone; the next one finds the rest', async (t) => {
  let fate: Fate = DONE
  const { store, journal } = memory(() => fate)
  const kept = intentRequest()
  await journal.intend(kept)
  fate = { end: 'silence', written: 'no' }
  void journal.authorize(authorizeRequest())
  await new Promise((resolve) => setImmediate(resolve))
  const next = new MemoryJournal({ store, clock: systemClock, random: seededRandom('next') })
  t.equal(await next.recover(systemClock.wallMs()), 1)
  t.equal(store.byKey.get(kept.facts.businessKey)?.image.state, 'timed_out')
  t.equal((await next.dueSaf('visa', systemClock.wallMs() + 1, 9)).length, 1)
  t.equal(store.balance('customer:1', CURRENCY), 1_000_000)
  t.equal(await next.recover(systemClock.wallMs()), 0)
})
