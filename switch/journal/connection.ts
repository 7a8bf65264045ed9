/**
 * One PostgreSQL connection that is opened again when it is lost, and on which no statement can
 * hang.
 *
 * Used by `postgres.ts` for the connection that writes. It must never repeat a statement by itself:
 * the caller knows what may be repeated. Statements are watched by our own clock and not by
 * statement_timeout, which would also cancel a COMMIT.
 */
import { Client, DatabaseError } from 'pg'
import type { QueryConfig, QueryResult, QueryResultRow } from 'pg'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import {
  CONNECT_TIMEOUT_MS,
  IDLE_IN_TRANSACTION_MS,
  LOCK_TIMEOUT_MS,
  RECONNECT_MS_FIRST,
  RECONNECT_MS_MAX,
} from './limits.ts'

/**
 * Plans by key only (group-read.ts); a plan chosen while a table was empty would otherwise scan it
 * for ever. JIT costs more than any of these statements.
 */
const WRITER_SETTINGS =
  '-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off ' +
  '-c enable_material=off -c jit=off ' +
  '-c synchronous_commit=on -c default_transaction_isolation=read\\ committed'

const SESSION_NAME = 'switchyard journal'

/**
 * The connection was lost or a statement took too long; what the server did with it is not known
 * here.
 */
export class ConnectionLost extends Error {}

/** What an error of the driver means for the one who asked. */
export type Trouble = 'lost' | 'again' | 'refused' | 'unwell'

/**
 * Sorts an error: `lost` the connection is of no use; `again` rolled back because of another
 * writer, may be decided anew; `refused` the database refuses these rows; `unwell` the database
 * cannot work (disk, memory, cancelled).
 */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof ConnectionLost) return 'lost'
  if (!(error instanceof DatabaseError)) return 'refused' // our own code stumbled over these rows
  const state = error.code ?? ''
  if (error.severity !== 'ERROR') return 'lost' // FATAL and PANIC end the session
  if (state === '25006' || state.startsWith('08')) return 'lost' // a standby by now
  if (['40001', '40P01', '55P03', 'SY004'].includes(state)) return 'again'
  if (/^(22|23|42|P0|SY|0A|21|44)/.test(state)) return 'refused'
  return 'unwell'
}

/** Whatever the driver rejects with that is no answer of the server is a lost connection. */
function asTrouble(reason: unknown): Error {
  if (reason instanceof DatabaseError) return reason
  return new ConnectionLost(`connection lost: ${troubleText(reason)}`)
}

/** The SQLSTATE and constraint of an error: all that may be shown, since details quote rows. */
export function troubleText(error: unknown): string {
  if (error instanceof DatabaseError) {
    const constraint = error.constraint === undefined ? '' : ` ${error.constraint}`
    return `SQLSTATE ${error.code ?? 'unknown'}${constraint}`
  }
  if (error instanceof ConnectionLost) return error.message
  if (error instanceof Error && 'code' in error) return String(error.code) // ECONNREFUSED ...
  return error instanceof Error ? error.name : 'unknown'
}

export class WriterConnection {
  readonly #url: string
  readonly #clock: Clock
  readonly #random: Random
  #client: Client | null = null
  #writer: string | null = null
  #failures = 0
  #closed = false

  constructor(url: string, clock: Clock, random: Random) {
    this.#url = url
    this.#clock = clock
    this.#random = random
  }

  /** Number of this writer in journal_writer, given by the database at the first connection. */
  get writer(): string | null {
    return this.#writer
  }

  /**
   * Makes one attempt to have a connection, after the back-off that earlier failures ask for.
   *
   * @throws ConnectionLost when there is none now
   */
  async open(): Promise<void> {
    if (this.#client !== null) return
    if (this.#failures > 0) await this.#backOff()
    if (this.#closed) throw new ConnectionLost('closed')
    const client = new Client({
      connectionString: this.#url,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      lock_timeout: LOCK_TIMEOUT_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
      keepAlive: true,
      application_name: SESSION_NAME,
      options: WRITER_SETTINGS,
      pipeline: true, // BEGIN with the read, the write with COMMIT: two round trips a group
    })
    client.on('error', () => this.#forget(client)) // also rejects what is in hand
    client.on('end', () => this.#forget(client))
    try {
      await client.connect()
      await this.#introduce(client)
    } catch (error) {
      this.#failures += 1
      client.connection.stream.destroy()
      throw new ConnectionLost(`no connection: ${troubleText(error)}`)
    }
    this.#failures = 0
    this.#client = client
  }

  /**
   * Sends statements one behind the other without waiting in between.
   *
   * @param timeoutMs for all of them; when it is over the connection is dropped
   * @returns results in order
   * @throws the first statement's error, or ConnectionLost
   */
  async send<R extends QueryResultRow>(
    queries: Array<string | QueryConfig>,
    timeoutMs: number,
  ): Promise<Array<QueryResult<R>>> {
    const client = this.#client
    if (client === null) throw new ConnectionLost('no connection')
    const late = this.#clock.after(timeoutMs, () => this.drop())
    try {
      const settled = await Promise.allSettled(queries.map((query) => client.query<R>(query)))
      const failed = settled.find((outcome) => outcome.status === 'rejected')
      if (failed !== undefined) throw asTrouble(failed.reason)
      return settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    } finally {
      late.cancel()
    }
  }

  /** Ends the connection at once; whatever is in hand rejects. */
  drop(): void {
    const client = this.#client
    if (client === null) return
    this.#client = null
    client.connection.stream.destroy()
  }

  /** Ends the connection in order; no further open() succeeds. */
  async close(): Promise<void> {
    this.#closed = true
    const client = this.#client
    this.#client = null
    if (client !== null) await client.end().catch(() => {}) // it is gone either way
  }

  /**
   * Takes a number at the first connection; at later ones ends the session before. The server may
   * still believe in it (the network died, not the session), and it holds its locks until the
   * server finds out. Nobody will read its answer.
   */
  async #introduce(client: Client): Promise<void> {
    const late = this.#clock.after(CONNECT_TIMEOUT_MS, () => client.connection.stream.destroy())
    try {
      if (this.#writer === null) {
        const { rows } = await client.query<{ writer: string }>(
          'INSERT INTO journal_writer DEFAULT VALUES RETURNING writer',
        )
        this.#writer = rows[0]?.writer ?? null
      }
      await client.query({
        text: `SELECT set_config('application_name', $1, false),
                 (SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                  WHERE application_name = $1 AND datname = current_database()
                    AND pid <> pg_backend_pid())`,
        values: [`${SESSION_NAME} ${this.#writer ?? ''}`],
      })
    } finally {
      late.cancel()
    }
  }

  #forget(client: Client): void {
    if (this.#client === client) this.#client = null
  }

  #backOff(): Promise<void> {
    const longest = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_FIRST * 2 ** (this.#failures - 1))
    const delayMs = longest / 2 + this.#random.below(Math.ceil(longest / 2) + 1)
    return new Promise((resolve) => {
      this.#clock.after(delayMs, resolve)
    })
  }
}
