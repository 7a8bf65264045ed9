// Says before anything is started which port somebody else has. Used by the supervisor. The look is
// a listen and a close; whoever takes a port right after it is reported by the process that loses.
import { createServer } from 'node:net'
import type { SwitchConfig } from '../../config/schema.ts'

/** A port that a start needs, and what for. */
export interface NeededPort {
  readonly host: string
  readonly port: number
  readonly by: string // e.g. 'link pos'
}

/**
 * Ports that the switch and, in a demonstration, the simulators will listen on.
 *
 * @param simulated names of the links whose peer is simulated here
 */
export function neededPorts(config: SwitchConfig, simulated: readonly string[]): NeededPort[] {
  const ports: NeededPort[] = [{ ...config.operations_http, by: 'operations_http' }]
  for (const link of config.links) {
    if (link.listen !== null) ports.push({ ...link.listen, by: `link ${link.name}` })
    if (link.role !== 'scheme' || link.connect === null || !simulated.includes(link.name)) continue
    ports.push({ ...link.connect, by: `the simulator of ${link.name}` })
  }
  return ports
}

/** The first needed port that cannot be had, as a sentence; '' when all can. */
export async function portTrouble(ports: readonly NeededPort[]): Promise<string> {
  for (const { host, port, by } of ports) {
    const code = await tryListen(host, port)
    if (code === '') continue
    if (code === 'EADDRINUSE') {
      const who = `ss -ltnp 'sport = :${port}' shows it`
      return `port ${port} of ${by} is in use; end what listens there (${who}), or change the port`
    }
    return `${by} cannot listen on ${host}:${port} (${code}); change the address or the port`
  }
  return ''
}

/** @returns '' or the system's error code */
function tryListen(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve('')))
  })
}
