// The database is killed under load, or loses one connection at a bad moment: what was acknowledged
// is there once, what was refused is not there, and the books balance.
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { Client } from 'pg'
import t from 'tap'
import { systemClock, wait } from '../runtime/clock.ts'
import type { Clock } from '../runtime/clock.ts'
import {
  authorizeRequest,
  balance,
  card,
  count,
  imbalance,
  intentRequest,
  journalOn,
  movement,
  newJournal,
  outcomeOf,
  reverseRequest,
  sql,
  startServer,
  token,
} from './database-for-tests.ts'
import { bareAnswer } from './group.ts'
import { migrate } from './migrate.ts'
import { JournalUnavailable } from './port.ts'
import type { Journal } from './port.ts'

const server = await startServer()
t.teardown(() => server.stop())

const CARDS = 8
const WORKERS = 24
const KILLS = 3
const BETWEEN_KILLS_MS = 900

/** What a caller was told about one transaction. */
interface Told {
  id: string
  said: 'approved' | 'reversed' | 'refused' | 'unknown'
}

function told(id: string, said: 'approved' | 'reversed', error: unknown): Told {
  if (error === undefined) return { id, said }
  if (!(error instanceof JournalUnavailable)) throw error
  return { id, said: error.outcomeUnknown ? 'unknown' : 'refused' }
}

/** One purchase on a card of ours. */
async function onUs(journal: Journal, n: number): Promise<Told> {
  const request = authorizeRequest({ panToken: token(1 + (n % CARDS)), amountMinor: 100 })
  try {
    await journal.authorize(request)
    return told(request.facts.id, 'approved', undefined)
  } catch (error) {
    return told(request.facts.id, 'approved', error)
  }
}

/** A purchase that is reversed at once; a refused reversal leaves the purchase. */
async function reversed(journal: Journal, n: number): Promise<Told> {
  const request = authorizeRequest({ panToken: token(1 + (n % CARDS)), amountMinor: 100 })
  let first = false
  try {
    await journal.authorize(request)
    first = true
    await journal.reverse(reverseRequest(request.facts.businessKey))
    return told(request.facts.id, 'reversed', undefined)
  } catch (error) {
    const outcome = told(request.facts.id, 'reversed', error)
    return first && outcome.said === 'refused' ? { ...outcome, said: 'approved' } : outcome
  }
}

/** A purchase at another institution. */
async function offUs(journal: Journal): Promise<Told> {
  const intent = intentRequest({ amountMinor: 100 })
  let first = false
  try {
    await journal.intend(intent)
    first = true
    await journal.conclude({
      txnId: intent.facts.id,
      state: 'approved',
      answer: bareAnswer('approved', ''),
      movements: [movement(100)],
      reversal: null,
      events: [],
    })
    return told(intent.facts.id, 'approved', undefined)
  } catch (error) {
    const outcome = told(intent.facts.id, 'approved', error)
    return first ? { ...outcome, said: 'unknown' } : outcome // an intent is there, at least
  }
}

t.test('PostgreSQL killed under load loses nothing acknowledged and doubles nothing', async (t) => {
  const cards = Array.from({ length: CARDS }, (_, i) =>
    card(i + 1, { openingBalanceMinor: 100_000_000, dailyLimitMinor: 100_000_000 }),
  )
  const { url, journal } = await newJournal(server, cards)
  const all: Told[] = []
  let stop = false
  async function worker(n: number): Promise<void> {
    for (let i = n; !stop; i += WORKERS) {
      const flow = i % 3
      if (flow === 0) all.push(await onUs(journal, i))
      else if (flow === 1) all.push(await reversed(journal, i))
      else all.push(await offUs(journal))
    }
  }
  const workers = Array.from({ length: WORKERS }, (_, n) => worker(n))
  const starts = new Set<string>()
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      await wait(systemClock, BETWEEN_KILLS_MS)
      starts.add(await startedAt(url))
      server.kill()
    }
    await wait(systemClock, BETWEEN_KILLS_MS)
    starts.add(await startedAt(url))
  } finally {
    stop = true
  }
  await Promise.all(workers)
  await journal.close()
  t.equal(starts.size, KILLS + 1, 'it was killed and started each time')

  const rows = await sql<{ id: string; state: string; postings: number; undone: number }>(
    url,
    `SELECT t.id, t.state, count(p.id) FILTER (WHERE p.reverses IS NULL)::int AS postings,
            count(p.id) FILTER (WHERE p.reverses IS NOT NULL)::int AS undone
     FROM txn t LEFT JOIN posting p ON p.txn_id = t.id WHERE t.reverse_of IS NULL GROUP BY t.id`,
  )
  const found = new Map(rows.map((row) => [row.id, row]))
  const wrong = all.filter(({ id, said }) => {
    const row = found.get(id)
    if (said === 'refused') return row !== undefined
    if (said === 'unknown') return false
    return row?.state !== said || row.postings !== 1 || row.undone !== (said === 'reversed' ? 1 : 0)
  })
  t.same(wrong, [])
  t.same(rows.filter((row) => row.postings > 1 || row.undone > 1 || row.undone > row.postings), [])
  t.same(rows.filter((row) => row.state === 'approved' && row.postings !== 1), [])
  t.same(await imbalance(url), [], 'the books balance')
  const acknowledged = all.filter(({ said }) => said === 'approved' || said === 'reversed').length
  t.ok(acknowledged > 100, `${acknowledged} acknowledged of ${all.length}`)
  const used = await sql<{ used: string }>(url, 'SELECT sum(used_minor) AS used FROM card_day')
  const spent = await sql<{ spent: string }>(
    url,
    `SELECT sum(consumed_minor) AS spent FROM txn WHERE state = 'approved' AND reverse_of IS NULL`,
  )
  t.equal(used[0]?.used, spent[0]?.spent, 'limits agree with what stands')
  const fresh = journalOn(url)
  const open = await count(url, `txn WHERE state = 'intent'`)
  t.equal(await fresh.recover(1), open, 'what has no outcome is reversed')
  await fresh.close()
})

/** When the server was started; waits until it answers. */
async function startedAt(url: string): Promise<string> {
  for (;;) {
    const rows = await outcomeOf(
      sql<{ at: string }>(url, 'SELECT pg_postmaster_start_time()::text AS at'),
    )
    if (!(rows instanceof Error)) return rows[0]?.at ?? ''
    await wait(systemClock, 20) // tap's own limit ends this when the server stays away
  }
}

/** Ends the writer's server process, the way an administrator or a failing network would. */
async function endWriter(url: string): Promise<number> {
  const ended = await sql(
    url,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name ~ '^switchyard journal [0-9]+$'`,
  )
  return ended.length
}

t.test('a connection lost between groups is opened again without an error', async (t) => {
  const { url, journal } = await newJournal(server)
  await journal.authorize(authorizeRequest())
  t.equal(await endWriter(url), 1)
  t.equal((await journal.authorize(authorizeRequest())).answer.reason, 'approved')
  t.equal(await balance(url, 'customer:1'), 980_000)
  await journal.close()
})

/**
 * A wire to the database that can be cut at the COMMIT: before it arrives, after it was done, or by
 * holding it back.
 */
class Wire {
  readonly #server: Server
  readonly #upstream: URL
  readonly #sockets = new Set<Socket>()
  cut: 'never' | 'before_commit' | 'after_commit' | 'hold_commit' = 'never'
  cuts = 0
  #held: { upstream: Socket; bytes: Buffer } | null = null

  constructor(url: string) {
    this.#upstream = new URL(url)
    this.#server = createServer((client) => this.#join(client))
  }

  /** Starts listening; the URL of the database through this wire. */
  async url(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const url = new URL(this.#upstream)
    url.port = String((this.#server.address() as AddressInfo).port)
    return url.href
  }

  /** Lets the server have the COMMIT that was held back, long after its client is gone. */
  release(): void {
    this.#held?.upstream.write(this.#held.bytes)
    this.#held = null
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #join(client: Socket): void {
    const upstream = connect(Number(this.#upstream.port), this.#upstream.hostname)
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket)
      socket.on('error', () => {})
    }
    client.on('data', (bytes: Buffer) => {
      const commits = bytes.includes('COMMIT\0')
      if (!commits || this.cut === 'never' || this.cut === 'after_commit') {
        upstream.write(bytes)
        return
      }
      this.cuts += 1
      if (this.cut === 'hold_commit') this.#held = { upstream, bytes }
      else upstream.destroy()
      this.cut = 'never'
      client.destroy()
    })
    upstream.on('data', (bytes: Buffer) => {
      if (this.cut === 'after_commit' && bytes.includes('COMMIT\0')) {
        this.cuts += 1
        this.cut = 'never'
        client.destroy()
        upstream.destroy()
      } else {
        client.write(bytes)
      }
    })
    client.on('close', () => {
      if (this.#held?.upstream !== upstream) upstream.end()
    })
    upstream.on('close', () => client.destroy())
  }
}

for (const cut of ['before_commit', 'after_commit', 'hold_commit'] as const) {
  t.test(`a connection cut at the COMMIT (${cut}) ends in one posting and one answer`, async (t) => {
    const { url, journal: direct } = await newJournal(server)
    const wire = new Wire(url)
    t.teardown(() => wire.close())
    const journal = journalOn(await wire.url())
    await journal.authorize(authorizeRequest())
    wire.cut = cut
    const requests = [authorizeRequest(), intentRequest(), authorizeRequest()] as const
    const [one, two] = await Promise.all([
      journal.authorize(requests[0]),
      journal.intend(requests[1]),
      journal.authorize(requests[2]),
    ])
    t.equal(wire.cuts, 1)
    wire.release()
    await wait(systemClock, 50) // the old server process wakes up with the old group in hand
    t.match(one, { occurrence: 'new', answer: { reason: 'approved' } })
    t.match(two, { occurrence: 'new' })
    t.same(await direct.authorize(requests[0]), { occurrence: 'replay', answer: one.answer })
    t.equal(await balance(url, 'customer:1'), 970_000)
    t.same(await imbalance(url), [])
    await Promise.all([journal.close(), direct.close()])
  })
}

/** Real time, but seen as running faster, so that bounds of seconds are reached sooner. */
function hastened(factor: number): Clock {
  return {
    wallMs: () => systemClock.wallMs(),
    monotonicMs: () => systemClock.monotonicMs() * factor,
    after: (delayMs, fn) => systemClock.after(delayMs / factor, fn),
    every: (periodMs, fn) => systemClock.every(periodMs / factor, fn),
  }
}

t.test('a COMMIT whose fate cannot be read is reported as unknown', async (t) => {
  const { url, journal: direct } = await newJournal(server)
  const wire = new Wire(url)
  t.teardown(() => wire.close())
  const journal = journalOn(await wire.url(), hastened(20))
  await journal.authorize(authorizeRequest())
  wire.cut = 'hold_commit'
  const asked = outcomeOf(journal.authorize(authorizeRequest()))
  while (wire.cuts === 0) await wait(systemClock, 1)
  const mark = new Client({ connectionString: url })
  await mark.connect()
  await mark.query('BEGIN') // nobody can read the mark
  await mark.query('SELECT 1 FROM journal_writer FOR UPDATE')
  const result = await asked
  t.ok(result instanceof JournalUnavailable && result.outcomeUnknown)
  await mark.query('ROLLBACK')
  await mark.end()
  t.equal((await journal.authorize(authorizeRequest())).answer.reason, 'approved', 'work goes on')
  t.same(await imbalance(url), [])
  await Promise.all([journal.close(), direct.close()])
})

t.test('a writer that comes back ends its own old session, not that of another database', async (t) => {
  const { url, journal } = await newJournal(server)
  const elsewhere = await server.newDatabase()
  await migrate(elsewhere)
  const other = journalOn(elsewhere) // number 1 there, as some writer here was
  await other.note('none', []).catch(() => {})
  const pidOf = `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name ~ '^switchyard journal [0-9]+$'`
  const before = await sql(elsewhere, pidOf)
  await sql(url, 'ALTER TABLE journal_writer ALTER COLUMN writer RESTART WITH 1')
  await journal.authorize(authorizeRequest())
  await endWriter(url)
  await journal.authorize(authorizeRequest())
  t.equal(before.length, 1)
  t.same(await sql(elsewhere, pidOf), before)
  await Promise.all([journal.close(), other.close()])
})

t.test('a group held up by a lock is decided when the lock is gone', async (t) => {
  const { url, journal } = await newJournal(server)
  const holder = new Client({ connectionString: url })
  await holder.connect()
  await holder.query('BEGIN')
  await holder.query('SELECT 1 FROM card FOR UPDATE')
  const held = journal.authorize(authorizeRequest())
  t.equal((await journal.findCard(token(1)))?.expiry, '3012', 'reads run beside it')
  await holder.query('COMMIT')
  await holder.end()
  t.equal((await held).answer.reason, 'approved')
  await journal.close()
})

t.test('without a database everything is refused within the age bound, nothing hangs', async (t) => {
  const journal = journalOn('postgresql://nobody:x@127.0.0.1:1/none', hastened(20))
  const began = systemClock.monotonicMs()
  const results = await Promise.all([
    outcomeOf(journal.authorize(authorizeRequest())),
    outcomeOf(journal.findCard(token(1))),
    outcomeOf(journal.history('000000000001')),
    outcomeOf(journal.reverse(reverseRequest('k'))),
  ])
  for (const result of results) {
    t.ok(result instanceof JournalUnavailable && !result.outcomeUnknown)
  }
  t.equal(await journal.healthy(), false)
  t.ok(systemClock.monotonicMs() - began < 5_000, 'the bound of 5 s, seen 20 times faster')
  await journal.close()
})

t.test('a full queue refuses new work at once and keeps room for reversals', async (t) => {
  const { QUEUE_REQUESTS_MAX } = await import('./limits.ts')
  const journal = journalOn('postgresql://nobody:x@127.0.0.1:1/none', hastened(20))
  const waiting = Array.from({ length: QUEUE_REQUESTS_MAX }, () =>
    outcomeOf(journal.authorize(authorizeRequest())),
  )
  const began = systemClock.monotonicMs()
  const refused = await outcomeOf(journal.authorize(authorizeRequest()))
  t.match(refused, { message: /too many requests/, outcomeUnknown: false })
  t.ok(systemClock.monotonicMs() - began < 1_000)
  const reversal = outcomeOf(journal.reverse(reverseRequest('k')))
  t.match(await reversal, { message: /not available in time/ }, 'it had a place, and no database')
  await Promise.all(waiting)
  await journal.close()
})
