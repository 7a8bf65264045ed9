// Ends the embedded PostgreSQL when the supervisor was killed and cannot do it itself. PostgreSQL
// does not notice the loss of its parent; a shell that reads from a pipe does, because the kernel
// closes the pipe. It waits until the children have drained, since they need the database for it,
// then asks the server for a fast shutdown. Used by the supervisor for the embedded database only.
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'

/**
 * $1 the server's process, $2 the file with the children's. The name of the process is compared,
 * because by then the number may be a stranger's. 25 rounds outlast the children's drain (20 s).
 */
const SCRIPT = `
while read -r line; do :; done
rounds=0
while [ $rounds -lt 25 ]; do
  left=
  for pid in $(sed 's/[^0-9]/ /g' "$2" 2>/dev/null); do
    if kill -0 "$pid" 2>/dev/null; then left=$pid; fi
  done
  [ -n "$left" ] || break
  rounds=$((rounds + 1))
  sleep 1
done
if [ "$(cat "/proc/$1/comm" 2>/dev/null)" = postgres ]; then kill -INT "$1"; fi
`

/** A guard that watches. */
export interface Guard {
  /** Ends the guard without touching the database. */
  release(): void
}

/**
 * Puts a guard beside the server behind `url`.
 *
 * @param url of the embedded server, whose data directory is on this machine
 * @param processesFile where the supervisor records its children
 */
export async function guardDatabase(url: string, processesFile: string): Promise<Guard> {
  const postmaster = await postmasterOf(url)
  const args = ['-c', SCRIPT, 'switchyard-guard', String(postmaster), processesFile]
  const shell = spawn('/bin/sh', args, { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  shell.on('error', () => undefined) // without a shell the next start ends what is left
  shell.stdin.on('error', () => undefined)
  detach(shell)
  return { release: () => void shell.kill('SIGKILL') }
}

/** Watching is no reason for this process to stay. */
function detach(shell: ChildProcess): void {
  shell.unref()
  const stdin = shell.stdin as { unref?: () => void } | null
  stdin?.unref?.()
}

/** Line 1 of postmaster.pid (src/include/utils/pidfile.h) in the server's own data directory. */
async function postmasterOf(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory')
    const file = join(rows[0]?.data_directory ?? '', 'postmaster.pid')
    const pid = Number.parseInt(readFileSync(file, 'utf8'), 10)
    if (!(pid > 0)) throw new Error('PostgreSQL has no process id')
    return pid
  } finally {
    await client.end()
  }
}
