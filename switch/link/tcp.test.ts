// Real sockets: what the adapter promises, and a whole link against a scripted peer over TCP.
import net from 'node:net'
import { once } from 'node:events'
import keepAlive from 'net-keepalive'
import t from 'tap'
import { systemClock, wait } from '../runtime/clock.ts'
import { KEEP_ALIVE_INTERVAL_MS, KEEP_ALIVE_PROBES, USER_TIMEOUT_MS } from './limits.ts'
import type { Connection, ConnectionEvents, Endpoint, Listener } from './port.ts'
import { tcpNet } from './tcp.ts'
import { cupsFrame, cupsMessage, CupsReader } from './test-bytes.ts'
import {
  cupsSettings, makeLink, PEER, purchase, purchaseFields, Recorder, US,
} from './test-link.ts'

const LOOPBACK = '127.0.0.1'

/** Records what a connection was told. */
class Ear implements ConnectionEvents {
  readonly chunks: Buffer[] = []
  readonly closes: string[] = []
  opens = 0
  readonly #closed: Promise<string>
  #resolve: (cause: string) => void = () => {}

  constructor() {
    this.#closed = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  opened(): void {
    this.opens++
  }

  data(chunk: Uint8Array): void {
    this.chunks.push(Buffer.from(chunk))
  }

  closed(cause: string): void {
    this.closes.push(cause)
    this.#resolve(cause)
  }

  ended(): Promise<string> {
    return this.#closed
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }
}

/** Waits until something holds; real sockets need real time. Fails after two seconds. */
async function until(holds: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (holds()) return
    await wait(systemClock, 5)
  }
  throw new Error(`not within two seconds: ${what}`)
}

async function listening(): Promise<{
  listener: Listener
  at: Endpoint
  ears: Ear[]
  connections: Connection[]
}> {
  const ears: Ear[] = []
  const connections: Connection[] = []
  const listener = await tcpNet(systemClock).listen({ host: LOOPBACK, port: 0 }, (connection) => {
    const ear = new Ear()
    ears.push(ear)
    connections.push(connection)
    return ear
  })
  return { listener, at: { host: LOOPBACK, port: listener.port }, ears, connections }
}

t.test('what one tick writes leaves in one piece; the end is told once', async (t) => {
  const { listener, at, ears, connections } = await listening()
  const ear = new Ear()
  const dialled = tcpNet(systemClock).connect(at, ear)
  await until(() => ear.opens === 1 && ears[0]?.opens === 1, 'both sides open')
  for (const word of ['one ', 'two ', 'three']) t.equal(dialled.write(Buffer.from(word)), true)
  t.equal(dialled.bufferedBytes(), 13)
  await until(() => ears[0]?.text === 'one two three', 'the bytes')
  t.equal(ears[0]?.chunks.length, 1)
  t.equal(dialled.bufferedBytes(), 0)
  t.equal(dialled.remote, `${LOOPBACK}:${at.port}`)
  t.match(connections[0]?.remote, /^127\.0\.0\.1:\d+$/)
  connections[0]?.write(Buffer.from('last words'))
  connections[0]?.close('test')
  connections[0]?.close('again')
  t.equal(connections[0]?.write(Buffer.from('x')), false)
  t.equal(await ear.ended(), 'peer_closed')
  t.equal(ear.text, 'last words', 'what was written before close() arrives')
  await wait(systemClock, 20)
  t.same(ears[0]?.closes, ['closed_by_us:test'])
  t.same(ear.closes, ['peer_closed'])
  await listener.close()
})

t.test('a caller may reuse its bytes at once', async (t) => {
  const { listener, at, ears } = await listening()
  const dialled = tcpNet(systemClock).connect(at, new Ear())
  const bytes = Buffer.from('kept')
  dialled.write(bytes)
  bytes.fill('x')
  const large = Buffer.alloc(40_000, 'a')
  dialled.write(large)
  large.fill('b')
  await until(() => (ears[0]?.text.length ?? 0) === 40_004, 'the bytes')
  t.equal(ears[0]?.text, `kept${'a'.repeat(40_000)}`)
  dialled.close('test')
  await listener.close()
})

t.test('keep-alive probes and user timeout are set on both sides', async (t) => {
  // The adapter hides its sockets, so the test sees them pass where they are tuned.
  const seen: net.Socket[] = []
  const original = net.Socket.prototype.setKeepAlive
  net.Socket.prototype.setKeepAlive = function (enable?: unknown, delayMs?: number) {
    seen.push(this)
    return original.call(this, enable === true, delayMs)
  }
  t.teardown(() => {
    net.Socket.prototype.setKeepAlive = original
  })
  const { listener, at, ears } = await listening()
  const dialled = tcpNet(systemClock).connect(at, new Ear())
  await until(() => ears[0]?.opens === 1 && seen.length === 2, 'both sides tuned')
  for (const socket of seen) {
    t.equal(keepAlive.getKeepAliveInterval(socket), KEEP_ALIVE_INTERVAL_MS)
    t.equal(keepAlive.getKeepAliveProbes(socket), KEEP_ALIVE_PROBES)
    t.equal(keepAlive.getUserTimeout(socket), USER_TIMEOUT_MS)
  }
  dialled.close('test')
  await listener.close()
})

t.test('a dial to a port where nobody listens is refused, once', async (t) => {
  const { listener, at } = await listening()
  await listener.close()
  const ear = new Ear()
  const dialled = tcpNet(systemClock).connect(at, ear)
  t.equal(await ear.ended(), 'refused')
  t.equal(dialled.write(Buffer.from('x')), false)
  await wait(systemClock, 20)
  t.same([ear.opens, ear.closes], [0, ['refused']])
})

t.test('a dial that is given up tells so, and nothing opens afterwards', async (t) => {
  const { listener, at } = await listening()
  const ear = new Ear()
  tcpNet(systemClock).connect(at, ear).close('changed_mind')
  t.equal(await ear.ended(), 'closed_by_us:changed_mind')
  await wait(systemClock, 20)
  t.same([ear.opens, ear.closes.length], [0, 1])
  await listener.close()
})

t.test('a port in use is one clear line', async (t) => {
  const { listener, at } = await listening()
  await t.rejects(tcpNet(systemClock).listen(at, () => new Ear()), {
    message: `cannot listen on ${LOOPBACK}:${at.port}: the port is in use by another process`,
  })
  await listener.close()
  const again = await tcpNet(systemClock).listen(at, () => new Ear())
  t.equal(again.port, at.port, 'a closed listener frees its port at once')
  await again.close()
})

t.test('closing a listener leaves its connections alone', async (t) => {
  const { listener, at, ears, connections } = await listening()
  const ear = new Ear()
  const dialled = tcpNet(systemClock).connect(at, ear)
  await until(() => ears[0]?.opens === 1, 'open')
  await listener.close()
  dialled.write(Buffer.from('still here'))
  await until(() => ears[0]?.text === 'still here', 'the bytes')
  connections[0]?.close('test')
  t.equal(await ear.ended(), 'peer_closed')
})

t.test('a reset is told as a reset', async (t) => {
  const { listener, at, ears } = await listening()
  const socket = net.connect({ host: at.host, port: at.port })
  await once(socket, 'connect')
  await until(() => ears[0]?.opens === 1, 'open')
  socket.resetAndDestroy()
  t.equal(await ears[0]?.ended(), 'reset')
  await listener.close()
})

t.test('a peer that does not read fills a bounded buffer, nothing beyond is queued', async (t) => {
  const sockets: net.Socket[] = []
  const server = net.createServer((socket) => void sockets.push(socket.pause()))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  server.listen(0, LOOPBACK)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const ear = new Ear()
  const bound = 200_000
  const dialled = tcpNet(systemClock, { writeBufferBytesMax: bound })
    .connect({ host: LOOPBACK, port: address.port }, ear)
  await until(() => ear.opens === 1, 'open')
  const piece = Buffer.alloc(1_000)
  let sent = 0
  let refused = 0
  let beyond = 0
  for (let i = 0; i < 20_000 && refused < 20; i++) {
    piece.fill(sent % 251)
    if (dialled.write(piece)) sent++
    else refused++
    if (i % 7 === 0 || refused > 0) await wait(systemClock, 1)
    if (dialled.bufferedBytes() > bound) beyond++
  }
  t.same([refused, beyond], [20, 0])
  const before = dialled.bufferedBytes()
  t.equal(dialled.write(piece), false)
  t.equal(dialled.bufferedBytes(), before)
  // What was accepted arrives as it was written, although it waited long.
  let received = 0
  let wrong = 0
  sockets[0]?.on('data', (chunk: Buffer) => {
    for (const byte of chunk) if (byte !== Math.floor(received++ / 1_000) % 251) wrong++
  })
  sockets[0]?.resume()
  await until(() => received === sent * 1_000, 'all that was accepted')
  t.equal(wrong, 0)
  dialled.close('test')
  t.equal(await ear.ended(), 'closed_by_us:test')
})

t.test('a link over TCP: sign-on, requests both ways, a reset, sign-off', async (t) => {
  const sockets: net.Socket[] = []
  const reader = new CupsReader()
  const server = net.createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      for (const { mti, fields } of reader.push(chunk)) {
        const answer = mti === '0820' ? '0830' : mti === '0200' ? '0210' : ''
        if (answer === '') continue
        // Byte by byte: the link must not care.
        for (const byte of cupsFrame(PEER, US, cupsMessage(answer, { ...fields, 39: '00' }))) {
          socket.write(Buffer.from([byte]))
        }
      }
    })
  })
  server.listen(0, LOOPBACK)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const told = new Recorder()
  const settings = cupsSettings({
    connect: { host: LOOPBACK, port: address.port }, reconnectMinMs: 20, reconnectMaxMs: 50,
    frameTimeoutMs: 1_000, networkTimeoutMs: 1_000,
  })
  const link = makeLink(settings, told, tcpNet(systemClock), systemClock, 'tcp')
  await link.start()
  await until(() => link.ready(), 'signed on')
  const send = (stan: string): string =>
    link.send(purchase(stan), stan, systemClock.monotonicMs() + 5_000, told.waiter(stan))
  t.equal(send('000001'), 'sent')
  t.equal(send('000002'), 'sent')
  await until(() => told.lines.length === 2, 'answers')
  t.same([...told.lines].sort(), ['000001 answered 00', '000002 answered 00'])

  told.onRequest = (message) => {
    link.reply(message, cupsMessage('0210', { 11: message.view.text(11), 39: '51' }))
  }
  sockets[0]?.write(cupsFrame(PEER, US, cupsMessage('0200', purchaseFields('000003'))))
  await until(() => reader.frames.at(-1)?.mti === '0210', 'our answer')
  t.match(reader.frames.at(-1), { to: PEER, from: US, fields: { 11: '000003', 39: '51' } })

  sockets[0]?.resetAndDestroy()
  await until(() => sockets.length === 2 && link.ready(), 'signed on again')
  t.ok(told.states.includes('ready down reset'))
  const before = reader.frames.length
  await link.stop(1_000)
  t.same(reader.frames.slice(before).map(({ fields }) => fields[70]), ['002'])
  t.equal(told.states.at(-1), 'signing_off down stopped')
  server.close()
})

t.test('garbage on a listening port ends that connection and no other', async (t) => {
  const told = new Recorder()
  const ended: string[] = []
  const settings = cupsSettings({
    listen: { host: LOOPBACK, port: 0 }, connect: null, role: 'terminals', connectionsMax: 3,
  })
  // The port is chosen by the system, so the test asks the net for it.
  let port = 0
  const tcp = tcpNet(systemClock)
  const link = makeLink(settings, told, {
    connect: (to, events) => tcp.connect(to, events),
    listen: async (at, accept) => {
      const listener = await tcp.listen(at, accept)
      port = listener.port
      return listener
    },
  }, systemClock, 'garbage', ended)
  await link.start()
  const [good, bad] = [net.connect({ host: LOOPBACK, port }), net.connect({ host: LOOPBACK, port })]
  bad.on('error', () => {})
  await Promise.all([once(good, 'connect'), once(bad, 'connect')])
  bad.write('GET / HTTP/1.1\r\n\r\n')
  await until(() => ended.length === 1, 'the bad one is closed')
  t.same(ended, ['frame_length_not_decimal'])
  good.write(cupsFrame(PEER, US, purchase('000001')))
  await until(() => told.lines.length === 1, 'the good one works')
  t.same(told.lines, ['request 0200 000001'])
  const third = net.connect({ host: LOOPBACK, port })
  const fourth = net.connect({ host: LOOPBACK, port })
  const fifth = net.connect({ host: LOOPBACK, port })
  const closed: string[] = []
  for (const [name, socket] of Object.entries({ third, fourth, fifth })) {
    socket.on('error', () => {})
    socket.resume()
    socket.on('close', () => void closed.push(name))
  }
  await until(() => closed.length === 1, 'one connection is too many')
  t.same(closed, ['fifth'])
  for (const socket of [good, third, fourth]) socket.destroy()
  await link.stop(100)
})
