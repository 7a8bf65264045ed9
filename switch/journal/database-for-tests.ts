/**
 * A real PostgreSQL for the journal's tests: one server per test file, one fresh database per test
 * that asks.
 *
 * Used by *.test.ts files only. Everything started here is stopped and removed by the tap teardown.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import type { QueryResultRow } from 'pg'
import { seedDemonstration } from '../../cards/seed.ts'
import type { DemonstrationCard } from '../../cards/seed.ts'
import { startDatabase } from '../../console/database/embedded.ts'
import { systemClock } from '../runtime/clock.ts'
import type { Clock } from '../runtime/clock.ts'
import { seededRandom } from '../runtime/random.ts'
import { ulid } from '../runtime/ulid.ts'
import { bareAnswer } from './group.ts'
import { migrate } from './migrate.ts'
import type {
  AuthorizeRequest,
  IntentRequest,
  Movement,
  OutcomeRequest,
  ReverseRequest,
  StoredAnswer,
  TxnFacts,
} from './port.ts'
import { PostgresJournal } from './postgres.ts'

export const BUSINESS_DATE = '2026-11-22'
export const CURRENCY = '156'

/** A superuser's way around the triggers that keep rows; nothing else may use it. */
const EMPTY_SQL = `
  BEGIN; SET LOCAL session_replication_role = replica;
  DELETE FROM saf; DELETE FROM posting; DELETE FROM card_day; DELETE FROM card;
  DELETE FROM account; DELETE FROM txn; DELETE FROM number_block; DELETE FROM key_block;
  DELETE FROM journal_writer; COMMIT`

/** A started server. */
export interface TestServer {
  url: string
  /**
   * Kills every process of the server at once, as a power cut would; it is started again by its
   * keeper.
   */
  kill(): void
  /** A new empty database; its URL. */
  newDatabase(): Promise<string>
  /** The one migrated database of this server, emptied. */
  emptied(): Promise<string>
  stop(): Promise<void>
}

/** Starts a server in a temporary directory. */
export async function startServer(): Promise<TestServer> {
  const directory = mkdtempSync(join(tmpdir(), 'switchyard-journal-'))
  chmodSync(directory, 0o755) // PostgreSQL may run as another account
  const database = await startDatabase({ directory })
  let databases = 0
  let migrated = ''
  async function newDatabase(): Promise<string> {
    const name = `journal_${++databases}`
    await sql(database.url, `CREATE DATABASE ${name}`)
    const url = new URL(database.url)
    url.pathname = `/${name}`
    return url.href
  }
  return {
    url: database.url,
    kill: () => killServer(directory),
    newDatabase,
    async emptied() {
      if (migrated === '') {
        migrated = await newDatabase()
        await migrate(migrated)
      }
      await sql(migrated, EMPTY_SQL)
      return migrated
    },
    async stop() {
      await database.stop()
      const place = placeOf(directory)
      rmSync(directory, { recursive: true, force: true })
      if (place !== directory) rmSync(place, { recursive: true, force: true })
    },
  }
}

function placeOf(directory: string): string {
  const record = join(directory, 'location')
  return existsSync(record) ? readFileSync(record, 'utf8').trim() : directory
}

/** The postmaster leads a session of its own, so its number is that of the process group. */
function killServer(directory: string): void {
  const file = join(placeOf(directory), 'data', 'postmaster.pid')
  const postmaster = Number(readFileSync(file, 'latin1').split('\n')[0])
  if (!(postmaster > 1)) throw new Error('no postmaster to kill')
  process.kill(-postmaster, 'SIGKILL')
}

/** One statement on a connection of its own. */
export async function sql<R extends QueryResultRow>(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<R[]> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<R>(text, values)).rows
  } finally {
    await client.end()
  }
}

/** The server's database, emptied, with the given cards, and a journal on it. */
export async function newJournal(
  server: TestServer,
  cards: DemonstrationCard[] = [card(1)],
): Promise<{ url: string; journal: PostgresJournal }> {
  const url = await server.emptied()
  await seed(url, cards)
  return { url, journal: journalOn(url) }
}

let journals = 0

/**
 * Another journal on the same database, as a second node has; its writer's name must be its own.
 */
export function journalOn(url: string, clock: Clock = systemClock): PostgresJournal {
  return new PostgresJournal({ url, clock, random: seededRandom(++journals) })
}

export async function seed(url: string, cards: DemonstrationCard[]): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await seedDemonstration(client, cards, BUSINESS_DATE)
  } finally {
    await client.end()
  }
}

/** The token of test card `n`: 32 bytes, no PAN behind it. */
export function token(n: number): Buffer {
  return Buffer.alloc(32, n)
}

/** Test card `n` with 10,000.00 on an account of its own and a daily limit of 5,000.00. */
export function card(n: number, changes: Partial<DemonstrationCard> = {}): DemonstrationCard {
  return {
    panToken: token(n),
    accountCode: `customer:${n}`,
    currency: CURRENCY,
    openingBalanceMinor: 1_000_000,
    floorMinor: 0,
    status: 'active',
    expiry: '3012',
    pvki: '1',
    pvv: '1234',
    pinOffset: '',
    pinTriesLeft: 3,
    panSequence: '01',
    keySet: 'demo.issuer',
    dailyLimitMinor: 500_000,
    dailyCountMax: null,
    ...changes,
  }
}

const random = seededRandom('journal tests')
let serial = 0

/** Facts of a purchase over 100.00 with test card 1; every call is another transaction. */
export function facts(changes: Partial<TxnFacts> = {}): TxnFacts {
  serial += 1
  const number = String(serial).padStart(12, '0')
  return {
    id: ulid(systemClock, random),
    businessKey: `pos|T0000001|${number}`,
    bodyHash: `hash${number}`,
    kind: 'purchase',
    sourceLink: 'pos-1',
    route: 'on_us',
    mti: '0200',
    stan: number.slice(6),
    rrn: number,
    terminalId: 'T0000001',
    merchantId: 'M00000000000001',
    panToken: token(1),
    panMasked: '622848******1234',
    panSealed: Buffer.alloc(40, 7),
    amountMinor: 10_000,
    currency: CURRENCY,
    businessDate: BUSINESS_DATE,
    receivedAt: systemClock.wallMs(),
    record: '{"entry":"051"}',
    ...changes,
  }
}

export function authorizeRequest(
  changes: Partial<TxnFacts> = {},
  checks: Partial<AuthorizeRequest> = {},
): AuthorizeRequest {
  return {
    facts: facts(changes),
    counterAccount: 'merchant:M00000000000001',
    expiry: '3012',
    pin: 'ok',
    cryptogram: 'ok',
    pinRequired: true,
    refusedReason: '',
    events: [{ atMs: systemClock.wallMs(), what: 'token.verify_pin', detail: 'ok' }],
    ...checks,
  }
}

export function intentRequest(changes: Partial<TxnFacts> = {}): IntentRequest {
  return {
    facts: facts({ route: 'visa', ...changes }),
    destination: 'visa',
    sentMti: '0100',
    sentStan: '000077',
    sentTransmissionAt: '1122220000',
    sentKey: 'visa|000077',
    events: [{ atMs: systemClock.wallMs(), what: 'leg.sent', detail: 'visa' }],
  }
}

export function reverseRequest(
  originalKey: string,
  changes: Partial<TxnFacts> = {},
  reversedAmountMinor: number | null = null,
): ReverseRequest {
  return {
    // Names neither card nor amount, so that it agrees with any original; tests that care say so.
    facts: facts({ mti: '0420', amountMinor: 0, panMasked: '', ...changes }),
    originalKey,
    reversedAmountMinor,
    onlyTxnId: null,
    events: [],
  }
}

/** The answer of another institution. */
export const approvedAnswer: StoredAnswer = {
  ...bareAnswer('approved', '123456789012'),
  authCode: 'A1B2C3',
  iccHex: '910A00112233445566778899',
}

/** A movement towards the merchant of the test requests, covered by the scheme. */
export function movement(amountMinor: number): Movement {
  return {
    debit: 'receivable:visa',
    credit: 'merchant:M00000000000001',
    amountMinor,
    currency: '156',
  }
}

/** An approved outcome with one movement of 100.00. */
export function outcome(txnId: string, changes: Partial<OutcomeRequest> = {}): OutcomeRequest {
  return {
    txnId,
    state: 'approved',
    answer: approvedAnswer,
    movements: [movement(10_000)],
    reversal: null,
    events: [],
    ...changes,
  }
}

/** The outcome of an intent that nobody answered. */
export function timedOut(txnId: string): OutcomeRequest {
  return outcome(txnId, {
    state: 'timed_out',
    answer: bareAnswer('timeout', ''),
    movements: [],
    reversal: 'timeout',
  })
}

/** What card 1 used of its limit on a date. */
export async function usedOn(url: string, date: string): Promise<{ used: number; times: number }> {
  const [row] = await sql<{ used: number; times: number }>(
    url,
    `SELECT used_minor::int AS used, used_count AS times FROM card_day WHERE business_date = $1`,
    [date],
  )
  return row ?? { used: 0, times: 0 }
}

/** Balance of an account: credits minus debits. */
export async function balance(url: string, code: string): Promise<number> {
  const [row] = await sql<{ balance: string }>(
    url,
    'SELECT credits_minor - debits_minor AS balance FROM account WHERE code = $1',
    [code],
  )
  return row === undefined ? Number.NaN : Number(row.balance)
}

/** What `ledger_imbalance` shows; empty is right. */
export function imbalance(url: string): Promise<QueryResultRow[]> {
  return sql(url, 'SELECT * FROM ledger_imbalance')
}

export async function count(url: string, from: string): Promise<number> {
  const [row] = await sql<{ n: number }>(url, `SELECT count(*)::int AS n FROM ${from}`)
  return row === undefined ? Number.NaN : row.n
}

/** What was awaited, whether it came or failed. */
export function outcomeOf<T>(promise: Promise<T>): Promise<T | Error> {
  return promise.catch((error: unknown) => (error instanceof Error ? error : new Error('?')))
}

