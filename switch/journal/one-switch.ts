/**
 * One switch per database, until several nodes can share one: recovery settles every intent that is
 * open, so a second switch would reverse what the first one waits for.
 *
 * Called by main.ts before anything else looks at the database. The mark is a lock of a session, so
 * it ends with the process, however that ends. When the database itself was restarted the mark is
 * gone until the next start; a second switch started in that time is not noticed.
 */

import { Client } from 'pg'
import { type Clock, wait } from '../runtime/clock.ts'
import { CONNECT_TIMEOUT_MS } from './limits.ts'

/** Any number, the same for every version of this program. */
const SWITCH_LOCK = 8_583_002

/** A switch that was just killed holds its session a moment longer. */
const LOCK_WAIT_MS = 3_000
const LOCK_LOOK_MS = 100

/**
 * Marks the database as ours; gives what ends the mark. Null when another switch runs on it.
 *
 * @throws the driver's error when the database does not answer
 */
export async function markAsOurs(url: string, clock: Clock): Promise<(() => Promise<void>) | null> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'switchyard owner',
  })
  client.on('error', () => undefined) // the database went: see above
  await client.connect()
  const until = clock.monotonicMs() + LOCK_WAIT_MS
  for (;;) {
    const { rows } = await client.query<{ ours: boolean }>(
      'SELECT pg_try_advisory_lock($1) AS ours', [SWITCH_LOCK],
    )
    if (rows[0]?.ours === true) return () => client.end().catch(() => undefined)
    if (clock.monotonicMs() >= until) break
    await wait(clock, LOCK_LOOK_MS)
  }
  await client.end()
  return null
}
