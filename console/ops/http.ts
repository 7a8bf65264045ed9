// The operations pages: is it alive, is it ready, what does it count.
// `switchyard start` opens them; a supervisor, a load balancer and Prometheus read them. GET only,
// loopback unless configured, no card data: probes answer with words of ours, metrics have closed
// labels.
import fastify, { type FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import { systemClock, type Clock } from '../../switch/runtime/clock.ts'

/** Answer of one probe; `note` is shown with ?verbose, free of secrets. */
export interface ProbeResult {
  readonly ok: boolean
  readonly note: string
}

/** Asks one part whether the switch could take work now. */
export type Probe = () => ProbeResult | Promise<ProbeResult>

/** What the pages are made of. */
export interface OpsOptions {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** By name, in the order in which ?verbose lists them: database, token, links, migrations ... */
  readonly probes: Readonly<Record<string, Probe>>
  readonly registry: Registry
  /** The longest recent delay of the event loop in seconds; /livez is about nothing else. */
  readonly loopLagSeconds?: (() => number) | undefined
  readonly clock?: Clock | undefined
}

/** The pages while they are open. */
export interface Ops {
  readonly host: string
  readonly port: number
  /** From now on /readyz is 503: the switch finishes what it has and takes nothing new. */
  drain(): void
  stop(): Promise<void>
}

/** A probe that takes longer has failed: a load balancer asks again every few seconds. */
export const PROBE_MS_MAX = 2_000

/** Later than this, timers and answers are late too: something blocks the process. */
export const LOOP_LAG_SECONDS_MAX = 1

/** Connections at once: a scraper, a few supervisors, a person. */
const CONNECTIONS_MAX = 64

/** A request is one line and a few headers; who needs longer is not a supervisor. */
const REQUEST_MS_MAX = 5_000

/**
 * Opens /livez, /readyz and /metrics.
 *
 * @throws Error with one sentence when the address cannot be had
 */
export async function startOps(options: OpsOptions): Promise<Ops> {
  const server = fastify({
    logger: false,
    bodyLimit: 1_024,
    requestTimeout: REQUEST_MS_MAX,
    connectionTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: REQUEST_MS_MAX,
    forceCloseConnections: true,
  })
  server.server.maxConnections = CONNECTIONS_MAX
  const state = { draining: false }
  addPages(server, options, state)
  try {
    await server.listen({ host: options.host, port: options.port })
  } catch (error) {
    await server.close()
    throw new Error(cannotListen(options, error))
  }
  const address = server.server.address()
  return {
    host: options.host,
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    drain: () => {
      state.draining = true
    },
    stop: () => server.close(),
  }
}

function addPages(
  server: FastifyInstance,
  options: OpsOptions,
  state: { draining: boolean },
): void {
  server.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
  })
  server.setNotFoundHandler((_request, reply) => {
    void reply.code(404).type('text/plain').send('try /livez, /readyz?verbose or /metrics\n')
  })
  server.setErrorHandler((_error, _request, reply) => {
    void reply.code(500).type('text/plain').send('failed\n')
  })
  server.get('/livez', async (_request, reply) => {
    const lag = options.loopLagSeconds?.() ?? 0
    const alive = lag <= LOOP_LAG_SECONDS_MAX
    const text = alive ? 'ok\n' : `the event loop is ${lag.toFixed(1)} s late\n`
    return reply.code(alive ? 200 : 503).type('text/plain').send(text)
  })
  server.get<{ Querystring: Record<string, unknown> }>('/readyz', async (request, reply) => {
    const results = await ask(options.probes, options.clock ?? systemClock)
    if (state.draining) results.unshift(['draining', { ok: false, note: 'shutting down' }])
    const ready = results.every(([, { ok }]) => ok)
    const short = ready ? 'ok\n' : 'not ready\n'
    const text = 'verbose' in request.query ? verbose(results, ready) : short
    return reply.code(ready ? 200 : 503).type('text/plain').send(text)
  })
  server.get('/metrics', async (_request, reply) =>
    reply.type(options.registry.contentType).send(await options.registry.metrics()),
  )
}

/** All probes at once, each bounded; a probe that throws says only that it did. */
async function ask(probes: OpsOptions['probes'], clock: Clock): Promise<[string, ProbeResult][]> {
  return Promise.all(
    Object.entries(probes).map(async ([name, probe]): Promise<[string, ProbeResult]> => {
      return [name, await bounded(probe, clock)]
    }),
  )
}

function bounded(probe: Probe, clock: Clock): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const late = { ok: false, note: `no answer within ${PROBE_MS_MAX / 1000} s` }
    const timer = clock.after(PROBE_MS_MAX, () => resolve(late))
    const done = (result: ProbeResult): void => {
      timer.cancel()
      resolve(result)
    }
    Promise.resolve()
      .then(probe)
      .then(done, () => done({ ok: false, note: 'the probe failed' }))
  })
}

/** One line per probe, as supervisors' tools show them. */
function verbose(results: [string, ProbeResult][], ready: boolean): string {
  const lines = results.map(([name, { ok, note }]) => {
    const text = note === '' ? (ok ? 'ok' : 'failed') : note.replace(/\s+/g, ' ')
    return `[${ok ? '+' : '-'}] ${name}: ${text}`
  })
  return `${[...lines, ready ? 'ready' : 'not ready'].join('\n')}\n`
}

function cannotListen(options: OpsOptions, error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  const where = `${options.host}:${options.port}`
  if (code === 'EADDRINUSE') {
    return `${where} is in use; stop what listens there, or set operations_http.port`
  }
  if (code === 'EACCES') return `${where} needs root; set operations_http.port above 1023`
  if (code === 'EADDRNOTAVAIL') {
    return `${options.host} is no address of this machine; set operations_http.host`
  }
  return `cannot open the operations pages on ${where} (${code ?? 'unknown'})`
}
