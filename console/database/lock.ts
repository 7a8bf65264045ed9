// Keeps a second start off a directory that a running process uses.
// The lock is a Unix socket in the abstract namespace: the kernel lets one process have a name and
// frees it the instant that process ends, even by kill -9, so there is no stale lock to clean up.
// It binds within one network namespace: containers that share a directory are not kept apart.
import { createHash } from 'node:crypto'
import { connect, createServer, type Server } from 'node:net'

const ASK_MS_MAX = 500 // The holder answers from its event loop; without an answer no id is shown.

/** A held lock. */
export interface Lock {
  release(): Promise<void>
}

/** Somebody else holds the lock; `holder` is its process id, when it could be asked. */
export interface Taken {
  readonly holder: number | undefined
}

/**
 * Takes the lock of a directory.
 *
 * @param purpose a word that keeps different locks on one directory apart
 * @param directory resolved absolute path
 */
export async function takeLock(purpose: string, directory: string): Promise<Lock | Taken> {
  const digest = createHash('sha256').update(`${purpose} ${directory}`).digest('hex')
  const name = `\0switchyard-${digest.slice(0, 40)}`
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.end(`${process.pid}\n`)
  })
  const held = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(error)
    })
    server.listen(name, () => resolve(true))
  })
  if (!held) return { holder: await askHolder(name) }
  server.unref()
  return { release: () => closed(server) }
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}

function askHolder(name: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(name)
    socket.setTimeout(ASK_MS_MAX, () => socket.destroy())
    socket.setEncoding('latin1')
    socket.on('data', (part: string) => {
      text += part
    })
    socket.on('error', () => resolve(undefined))
    socket.on('close', () => {
      const pid = Number.parseInt(text, 10)
      resolve(pid > 0 ? pid : undefined)
    })
  })
}
