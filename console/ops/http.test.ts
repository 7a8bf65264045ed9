// The operations pages over real sockets: what a supervisor and Prometheus read.
import { request } from 'node:http'
import { createServer } from 'node:net'
import t from 'tap'
import { Meters } from '../../switch/meters.ts'
import { measureLoopLag } from '../../switch/runtime/loop-lag.ts'
import { VirtualClock } from '../../switch/runtime/virtual-clock.ts'
import { PROBE_MS_MAX, startOps, type Ops, type OpsOptions, type ProbeResult } from './http.ts'

interface Page {
  status: number | undefined
  text: string
  type: string | undefined
}

function get(ops: Ops, path: string, method = 'GET'): Promise<Page> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: ops.host, port: ops.port, path, method }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => (text += part))
      response.on('end', () =>
        resolve({ status: response.statusCode, text, type: response.headers['content-type'] }),
      )
    })
    asked.on('error', reject)
    asked.end()
  })
}

const meters = new Meters({ version: '9.9.9', links: ['visa', 'pos'], faultKinds: ['not_digits'] })

function options(more: Partial<OpsOptions> = {}): OpsOptions {
  return { host: '127.0.0.1', port: 0, probes: {}, registry: meters.registry, ...more }
}

t.test('ready means every probe is; ?verbose says which is not', async (t) => {
  let database: ProbeResult = { ok: true, note: '' }
  const token = (): ProbeResult => {
    throw new Error('secret 4999990000000005')
  }
  let broken = false
  const probes = {
    database: () => database,
    token: () => (broken ? token() : { ok: true, note: 'SoftHSM, 2 workers' }),
  }
  const ops = await startOps(options({ probes }))
  t.teardown(() => ops.stop())
  t.same(await get(ops, '/readyz'), { status: 200, text: 'ok\n', type: 'text/plain' })
  t.equal(
    (await get(ops, '/readyz?verbose')).text,
    '[+] database: ok\n[+] token: SoftHSM, 2 workers\nready\n',
  )
  database = { ok: false, note: 'not\nreachable' }
  broken = true
  t.match(await get(ops, '/readyz'), { status: 503, text: 'not ready\n' })
  t.equal(
    (await get(ops, '/readyz?verbose=1')).text,
    '[-] database: not reachable\n[-] token: the probe failed\nnot ready\n',
  )
  t.match(await get(ops, '/livez'), { status: 200, text: 'ok\n' }, 'alive all the same')
})

t.test('a draining switch is alive and not ready', async (t) => {
  const ops = await startOps(options({ probes: { database: () => ({ ok: true, note: '' }) } }))
  t.teardown(() => ops.stop())
  ops.drain()
  t.equal((await get(ops, '/readyz')).status, 503)
  t.match((await get(ops, '/readyz?verbose')).text, /^\[-\] draining: shutting down\n/)
  t.equal((await get(ops, '/livez')).status, 200)
})

t.test('a probe that never answers fails in time', async (t) => {
  const clock = new VirtualClock()
  const never = (): Promise<ProbeResult> => new Promise(() => undefined)
  const ops = await startOps(options({ probes: { journal: never }, clock }))
  t.teardown(() => ops.stop())
  const page = get(ops, '/readyz?verbose')
  while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve))
  clock.advance(PROBE_MS_MAX)
  t.match(await page, { status: 503, text: /^\[-\] journal: no answer within 2 s/ })
})

t.test('an event loop that is late makes it not alive', async (t) => {
  let lag = 0
  const ops = await startOps(options({ loopLagSeconds: () => lag }))
  t.teardown(() => ops.stop())
  t.equal((await get(ops, '/livez')).status, 200)
  lag = 1.5
  t.match(await get(ops, '/livez'), { status: 503, text: 'the event loop is 1.5 s late\n' })
})

t.test('a blocked loop is measured', async (t) => {
  const lag = measureLoopLag()
  t.teardown(() => lag.stop())
  await new Promise((resolve) => setTimeout(resolve, 250))
  const until = performance.now() + 400
  while (performance.now() < until); // blocks on purpose
  await new Promise((resolve) => setTimeout(resolve, 150))
  t.ok(lag.seconds() > 0.2)
})

t.test('metrics are text for Prometheus; other pages and methods are refused', async (t) => {
  const ops = await startOps(options())
  t.teardown(() => ops.stop())
  meters.timedOut('visa')
  const page = await get(ops, '/metrics')
  t.match(page, { status: 200, type: /^text\/plain; version=0\.0\.4/ })
  t.match(page.text, /^switchyard_timeouts_total\{route="visa"\} 1$/m)
  t.equal((await get(ops, '/')).status, 404)
  t.equal((await get(ops, '/metrics', 'POST')).status, 404)
})

t.test('a port in use, and an address that is not here, are one sentence', async (t) => {
  const squatter = createServer()
  await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve))
  const address = squatter.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  await t.rejects(startOps(options({ port })), {
    message: `127.0.0.1:${port} is in use; stop what listens there, or set operations_http.port`,
  })
  await t.rejects(startOps(options({ host: '192.0.2.1' })), {
    message: '192.0.2.1 is no address of this machine; set operations_http.host',
  })
  squatter.close()
})
