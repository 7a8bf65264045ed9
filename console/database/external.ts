// A PostgreSQL server that somebody else runs, given by SWITCHYARD_DATABASE_URL.
// Checks once at start that it can be trusted with money: recent enough, and not configured to
// forget a commit. Used by embedded.ts; it changes nothing on the server.
import pg from 'pg'

/** Oldest server that is supported: PostgreSQL 15 (MERGE, NULLS NOT DISTINCT). */
export const SERVER_VERSION_MIN = 150_000

const CONNECT_MS_MAX = 10_000 // Longer means the address is wrong or filtered.

/** Settings without which an acknowledged commit may be lost in a crash. */
const DURABILITY = ['fsync', 'full_page_writes', 'synchronous_commit'] as const

/**
 * Connects once and refuses a server that is too old or may lose commits.
 *
 * @param url connection string; never printed, since it carries a password
 * @throws Error whose message says what is wrong and what to change, without the URL
 */
export async function checkServer(url: string): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    application_name: 'switchyard check',
  })
  try {
    await client.connect()
    await checkVersion(client)
    for (const setting of DURABILITY) {
      if ((await show(client, setting)) === 'off') {
        throw new Error(`PostgreSQL runs with ${setting} = off and may lose commits; set it to on`)
      }
    }
  } finally {
    await client.end().catch(() => undefined) // a connection that never opened
  }
}

async function checkVersion(client: pg.Client): Promise<void> {
  const version = Number(await show(client, 'server_version_num'))
  if (!(version >= SERVER_VERSION_MIN)) {
    throw new Error(
      `PostgreSQL ${Math.floor(version / 10_000)} is too old; needed is ` +
        `${SERVER_VERSION_MIN / 10_000} or later`,
    )
  }
}

/** One setting as text. `name` comes from this file only. */
async function show(client: pg.Client, name: string): Promise<string> {
  const result = await client.query<Record<string, string>>(`SHOW ${name}`)
  return result.rows[0]?.[name] ?? ''
}
