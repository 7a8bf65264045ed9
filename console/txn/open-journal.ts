// Opens the journal's database for commands that only look: txn show, saf list.
// It uses SWITCHYARD_DATABASE_URL, else the database of the start that runs, else it starts the
// embedded one of the data directory for as long as the question takes. It must never migrate or
// print the address.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { environment } from '../../config/load.ts'
import { PostgresJournal } from '../../switch/journal/postgres.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { systemRandom } from '../../switch/runtime/random.ts'
import { CommandFailed } from '../help.ts'
import { recordedDatabase } from '../start/run-state.ts'

/** What operators' commands may ask. */
export type JournalReader = Pick<PostgresJournal, 'history' | 'safList' | 'requeueSaf'>

/**
 * Calls `ask` with an open journal and closes everything afterwards.
 *
 * @throws CommandFailed when there is no database or it does not answer
 */
export async function withJournal<T>(ask: (journal: JournalReader) => Promise<T>): Promise<T> {
  const { url, stop } = await findDatabase()
  const journal = new PostgresJournal({ url, clock: systemClock, random: systemRandom })
  try {
    return await ask(journal)
  } catch (error) {
    throw new CommandFailed(`the journal cannot be read: ${reasonOf(error)}`, 'is the database up?')
  } finally {
    await journal.close().catch(() => undefined) // its connections may be gone already
    await stop()
  }
}

async function findDatabase(): Promise<{ url: string; stop: () => Promise<void> }> {
  const { databaseUrl, home } = environment()
  const known = databaseUrl ?? recordedDatabase(home)
  if (known !== null) return { url: known, stop: () => Promise.resolve() }
  const directory = join(home, 'database')
  if (!existsSync(directory)) {
    const next = 'start the switch (npm start), or set SWITCHYARD_HOME or SWITCHYARD_DATABASE_URL'
    throw new CommandFailed(`there is no database in ${home}`, next)
  }
  process.stderr.write('switchyard: the switch is stopped; its database is started for this\n')
  const { startDatabase } = await import('../database/embedded.ts')
  const database = await startDatabase({ directory }).catch((error: unknown) => {
    throw new CommandFailed(error instanceof Error ? error.message : 'the database does not start')
  })
  return { url: database.url, stop: () => database.stop() }
}

/** SQLSTATE or system code; texts of the driver may quote rows or the address. */
function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  if (code === '42P01') return 'its tables are not there yet'
  return typeof code === 'string' ? code : 'it does not answer'
}
