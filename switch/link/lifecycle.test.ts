// The life of a link: sign-on, back-off, echo, keys, suspension, sign-off. behaviours.md 45 to 50.
import t from 'tap'
import { VirtualClock } from '../runtime/virtual-clock.ts'
import { cupsFrame, cupsMessage } from './test-bytes.ts'
import { VirtualNet } from './virtual-net.ts'
import {
  AT, cupsSettings, makeLink, Peer, PEER, purchaseFields, Recorder, Stage, US,
} from './test-link.ts'

const LISTENS = { listen: AT, connect: null }

t.test('we sign on after dialling, and only then the link is ready', async (t) => {
  const stage = new Stage()
  await stage.listen()
  await stage.link.start()
  t.equal(stage.send('000001'), 'not_ready')
  stage.clock.advance(10)
  t.same(stage.told.states, [
    'down connected dialled', 'connected signing_on sign_on_sent', 'signing_on ready signed_on',
  ])
  t.equal(stage.link.ready(), true)
  const [signOn] = stage.peer.reader.frames
  t.match(signOn, { mti: '0820', from: US, to: PEER, fields: { 33: US, 70: '001' } })
  // 2026-01-05 08:00:00 UTC is 16:00 in Shanghai.
  t.equal(signOn?.fields[7], '0105160000')
})

t.test('sign-on must be answered yes before any financial leaves', async (t) => {
  const stage = new Stage()
  stage.onPeer = (peer) => {
    peer.networkCode = null
  }
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(100)
  t.equal(stage.link.state, 'signing_on')
  t.equal(stage.send('000001'), 'not_ready')
  t.same(stage.peer.heard, ['0820 001'])
})

t.test('an unanswered sign-on ends the connection and is tried again', async (t) => {
  const stage = new Stage()
  stage.onPeer = (peer) => {
    peer.networkCode = stage.peers.length === 0 ? null : '00'
  }
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(5_100)
  t.equal(stage.told.states.at(-1), 'signing_on down sign_on_timed_out')
  t.equal(stage.peers[0]?.isOpen, false)
  stage.clock.advance(1_000)
  t.equal(stage.link.state, 'ready')
})

t.test('a refused sign-on is tried again with growing, jittered, bounded pauses', async (t) => {
  const dialled: number[][] = []
  for (const seed of ['a', 'b']) {
    const stage = new Stage({}, seed)
    const at: number[] = []
    stage.onPeer = (peer) => {
      peer.networkCode = '91'
      at.push(stage.clock.monotonicMs())
    }
    await stage.listen()
    await stage.link.start()
    stage.clock.advance(120_000)
    t.equal(stage.told.states[2], 'signing_on down sign_on_refused_91')
    t.equal(stage.link.state, 'down')
    const pauses = at.slice(1).map((when, i) => when - (at[i] ?? 0))
    t.ok(pauses.length >= 12 && pauses.length <= 24, `${pauses.length} dials in two minutes`)
    t.ok(pauses[0]! >= 500 && pauses[0]! <= 800, `first pause ${pauses[0]} ms`)
    t.ok(pauses.every((ms) => ms <= 8_000 + 50), 'no pause above the bound')
    t.ok(pauses.at(-1)! >= 5_000, 'the last pause is near the bound')
    dialled.push(pauses)
  }
  t.not(String(dialled[0]), String(dialled[1]), 'two links do not dial at the same instants')
})

t.test('a port where nobody listens is dialled with pauses, and the cause is told', async (t) => {
  const stage = new Stage()
  await stage.link.start()
  stage.clock.advance(3_000)
  t.equal(stage.told.states[0], 'down down dial_refused')
  t.equal(stage.ended[0], 'dial_refused')
  await stage.listen()
  stage.clock.advance(8_000)
  t.equal(stage.link.state, 'ready')
})

t.test('a connection that stayed up starts again at the shortest pause', async (t) => {
  const stage = new Stage()
  await stage.listen()
  await stage.link.start()
  for (let drop = 0; drop < 5; drop++) {
    stage.clock.advance(2_000)
    t.equal(stage.link.state, 'ready', `after drop ${drop}`)
    stage.peer.net?.close('test')
    stage.clock.advance(5)
    t.equal(stage.told.states.at(-1), 'ready down peer_closed')
    stage.clock.advance(800)
  }
})

t.test('an idle link is asked with an echo, and an answered echo keeps it', async (t) => {
  const stage = new Stage()
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(59_000)
  t.same(stage.peer.heard, ['0820 001'])
  stage.clock.advance(1_100)
  t.same(stage.peer.heard, ['0820 001', '0820 301'])
  stage.clock.advance(610_000)
  t.equal(stage.link.state, 'ready')
  t.equal(stage.peer.heard.length, 12, 'one echo a minute')
})

t.test('a half-open peer is found within the echo budget, its requests are lost', async (t) => {
  const stage = new Stage()
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(50)
  const pipe = stage.net.pipes[0]
  if (pipe === undefined) throw new Error('no connection')
  pipe.dialled.cut = true
  t.equal(stage.send('000001', 600_000), 'sent')
  stage.clock.advance(60_000 + 2 * 5_000 - 100)
  t.equal(stage.link.state, 'ready')
  stage.clock.advance(200)
  t.same(stage.told.lines, ['000001 lost echo_missed'])
  t.equal(stage.told.states.at(-1), 'ready down echo_missed')
  t.equal(stage.link.pendingCount(), 0)
  stage.clock.advance(2_000)
  t.equal(stage.link.state, 'ready', 'and it is dialled again')
})

t.test('traffic from the peer counts as life although it does not answer the echo', async (t) => {
  const stage = new Stage()
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(50)
  stage.peer.networkCode = null
  for (let i = 0; i < 40; i++) {
    stage.clock.advance(3_000)
    stage.peer.raw(Buffer.from('0000'))
  }
  t.equal(stage.link.state, 'ready')
})

t.test('a sign of life between echo and time-out counts, whatever it is', async (t) => {
  const stage = new Stage({ echoMissesMax: 1 })
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(50)
  stage.peer.networkCode = null
  for (let i = 0; i < 5; i++) {
    stage.clock.advance(61_000)
    stage.peer.raw(Buffer.from('0000'))
    stage.clock.advance(1_000)
  }
  t.equal(stage.link.state, 'ready')
  t.equal(stage.peer.heard.length, 1 + 5, 'five echoes were sent and none was answered')
  stage.clock.advance(66_000)
  t.equal(stage.peers[0]?.isOpen, false, 'silence is found all the same')
})

t.test('what comes behind a refused sign-on is not read', async (t) => {
  const stage = new Stage()
  stage.onPeer = (peer) => {
    peer.data = (chunk) => {
      const fields = peer.reader.push(chunk)[0]?.fields
      peer.raw(Buffer.concat([
        cupsFrame(PEER, US, cupsMessage('0830', { ...fields, 39: '91' })),
        cupsFrame(PEER, US, cupsMessage('0200', purchaseFields('000001'))),
      ]))
    }
  }
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(50)
  t.equal(stage.told.states.at(-1), 'signing_on down sign_on_refused_91')
  t.same(stage.told.lines, [])
})

t.test('we send the keep-alive of the framing when we have nothing else to say', async (t) => {
  const stage = new Stage()
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(50)
  for (let i = 0; i < 40; i++) {
    stage.clock.advance(3_000)
    stage.peer.raw(Buffer.from('0000'))
  }
  t.equal(stage.peer.reader.keepAlives, 2, 'one for each minute of our silence')
  t.same(stage.peer.heard, ['0820 001'])
})

t.test('a scheme that dials us must sign on before its financials count', async (t) => {
  const stage = new Stage(LISTENS)
  await stage.link.start()
  const peer = stage.dial()
  stage.clock.advance(10)
  t.equal(stage.link.state, 'connected')
  peer.say('0200', purchaseFields('000001'))
  peer.say('0820', { 7: '0105160000', 11: '000002', 33: PEER, 70: '101' })
  peer.say('0820', { 7: '0105160000', 11: '000003', 33: PEER, 70: '201' })
  peer.say('0820', { 7: '0105160000', 11: '000004', 33: PEER, 70: '301' })
  stage.clock.advance(10)
  t.same(stage.told.lines, [
    'notSignedOn 0200 000001', 'notSignedOn 0820 000002', 'notSignedOn 0820 000003',
  ])
  t.match(peer.reader.frames, [{ mti: '0830', fields: { 11: '000004', 39: '00', 70: '301' } }])
  peer.say('0820', { 7: '0105160000', 11: '000005', 33: PEER, 70: '001' })
  peer.say('0200', purchaseFields('000006'))
  stage.clock.advance(10)
  t.match(peer.reader.frames[1], {
    mti: '0830', from: US, to: PEER,
    fields: { 7: '0105160000', 11: '000005', 33: PEER, 39: '00', 70: '001' },
  })
  t.equal(stage.told.states.at(-1), 'connected ready peer_signed_on')
  t.equal(stage.told.lines.at(-1), 'request 0200 000006')
})

t.test('each accepted connection must be signed on by itself', async (t) => {
  const stage = new Stage(LISTENS)
  await stage.link.start()
  const first = stage.dial()
  const stranger = stage.dial()
  stage.clock.advance(10)
  first.say('0820', { 7: '0105160000', 11: '000001', 33: PEER, 70: '001' })
  stage.clock.advance(10)
  stranger.say('0200', purchaseFields('000002'))
  stage.clock.advance(10)
  t.equal(stage.link.state, 'ready')
  t.same(stage.told.lines, ['notSignedOn 0200 000002'])
})

t.test('a stranger who names another institution is not signed on', async (t) => {
  const stage = new Stage(LISTENS)
  await stage.link.start()
  const stranger = stage.dial()
  stage.clock.advance(10)
  stranger.say('0820', { 7: '0105160000', 11: '000001', 33: '66666666', 70: '001' })
  stage.clock.advance(10)
  t.match(stranger.reader.frames, [{ mti: '0830', fields: { 39: '96' } }])
  t.equal(stage.link.state, 'connected')
  t.equal(stage.told.states.at(-1), 'connected connected peer_sign_on_refused')
})

t.test('the peer signs off, and signs on again', async (t) => {
  const stage = new Stage(LISTENS)
  await stage.link.start()
  const peer = stage.dial()
  stage.clock.advance(10)
  for (const code of ['001', '002']) {
    peer.say('0820', { 7: '0105160000', 11: `000${code}`, 70: code })
  }
  stage.clock.advance(10)
  t.equal(stage.told.states.at(-1), 'ready connected peer_signed_off')
  peer.say('0200', purchaseFields('000009'))
  stage.clock.advance(10)
  t.same(stage.told.lines, ['notSignedOn 0200 000009'])
  peer.say('0820', { 7: '0105160000', 11: '000010', 70: '001' })
  stage.clock.advance(10)
  t.equal(stage.link.state, 'ready')
})

t.test('a dialled link that the peer signed off is suspended until we resume', async (t) => {
  const stage = new Stage()
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(50)
  stage.peer.say('0820', { 7: '0105160000', 11: '000001', 70: '002' })
  stage.clock.advance(10)
  t.equal(stage.told.states.at(-1), 'ready suspended peer_signed_off')
  t.equal(stage.send('000002'), 'not_ready')
  stage.link.resume()
  stage.clock.advance(10)
  t.same(stage.told.states.slice(-2), [
    'suspended signing_on sign_on_sent', 'signing_on ready signed_on',
  ])
})

t.test('keys are exchanged before financials, and the exchange itself passes', async (t) => {
  const stage = new Stage({ keysRequired: true })
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(10)
  t.equal(stage.told.states.at(-1), 'signing_on exchanging_keys signed_on')
  t.equal(stage.send('000001'), 'not_ready')
  stage.peer.say('0800', { 7: '0105160000', 11: '000002', 48: 'NK', 70: '101' })
  stage.peer.say('0200', purchaseFields('000003'))
  stage.clock.advance(10)
  t.same(stage.told.lines, ['request 0800 000002', 'notSignedOn 0200 000003'])
  stage.link.keysInForce()
  t.equal(stage.told.states.at(-1), 'exchanging_keys ready keys_in_force')
  t.equal(stage.send('000001'), 'sent')
})

t.test('each sign-on of the link begins a new key exchange', async (t) => {
  const stage = new Stage({ keysRequired: true })
  await stage.listen()
  await stage.link.start()
  for (let round = 0; round < 2; round++) {
    stage.clock.advance(2_000)
    t.equal(stage.link.state, 'exchanging_keys')
    stage.link.keysInForce()
    t.equal(stage.link.state, 'ready')
    stage.peer.net?.close('test')
    stage.clock.advance(5)
  }
})

t.test('a second connection shares the keys in force', async (t) => {
  const stage = new Stage({ ...LISTENS, keysRequired: true })
  stage.link.keysInForce()
  await stage.link.start()
  const [first, second] = [stage.dial(), stage.dial()]
  stage.clock.advance(10)
  for (const peer of [first, second]) {
    peer.say('0820', { 7: '0105160000', 11: '000001', 33: PEER, 70: '001' })
    peer.say('0200', purchaseFields('000002'))
    stage.clock.advance(10)
  }
  t.same(stage.told.lines, ['request 0200 000002', 'request 0200 000002'])
  first.net?.close('test')
  stage.clock.advance(10)
  t.equal(stage.link.state, 'ready', 'one of two is enough')
})

t.test('an operator suspends and resumes: requests stop, the connection stays', async (t) => {
  const stage = new Stage()
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(10)
  stage.link.suspend()
  t.equal(stage.told.states.at(-1), 'ready suspended suspended_by_operator')
  t.equal(stage.send('000001'), 'not_ready')
  stage.peer.say('0200', purchaseFields('000002'))
  stage.clock.advance(10)
  t.same(stage.told.lines, ['notSignedOn 0200 000002'])
  stage.link.resume()
  t.equal(stage.told.states.at(-1), 'suspended ready resumed_by_operator')
  t.equal(stage.send('000001'), 'sent')
})

t.test('stop lets waiting requests end, signs off, then closes', async (t) => {
  const stage = new Stage()
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(50)
  stage.send('000001')
  const stopped = stage.link.stop(10_000)
  t.equal(stage.told.states.at(-1), 'ready signing_off stopping')
  t.equal(stage.send('000002'), 'not_ready')
  await stage.clock.advanceAsync(1_000)
  t.same(stage.peer.heard, ['0820 001', '0200 000001'], 'no sign-off while a request waits')
  stage.peer.say('0200', purchaseFields('000003'))
  stage.peer.say('0210', { ...purchaseFields('000001'), 39: '00' })
  await stage.clock.advanceAsync(200)
  await stopped
  t.same(stage.told.lines, ['notSignedOn 0200 000003', '000001 answered 00'])
  t.same(stage.peer.heard.slice(2), ['0820 002'])
  t.equal(stage.told.states.at(-1), 'signing_off down stopped')
  await stage.clock.advanceAsync(60_000)
  t.equal(stage.peers.length, 1, 'a stopped link does not dial again')
  t.equal(stage.clock.pending, 0, 'and leaves no timer')
})

t.test('stop waits no longer than its grace; what still waits is lost', async (t) => {
  const stage = new Stage()
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(50)
  stage.send('000001', 60_000)
  stage.peer.networkCode = null // it does not answer the sign-off either
  const stopped = stage.link.stop(2_000)
  await stage.clock.advanceAsync(2_000 + 5_000 + 200)
  await stopped
  t.same(stage.told.lines, ['000001 lost stopped'])
  t.equal(stage.link.state, 'down')
})

t.test('a message that is being worked on counts as work to finish at stop', async (t) => {
  const stage = new Stage()
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(50)
  stage.told.request = (message) => {
    stage.clock.after(500, () => {
      stage.link.reply(message, cupsMessage('0210', { 11: message.view.text(11), 39: '00' }))
      message.release()
    })
  }
  stage.peer.say('0200', purchaseFields('000001'))
  await stage.clock.advanceAsync(5)
  const stopped = stage.link.stop(5_000)
  await stage.clock.advanceAsync(300)
  t.equal(stage.link.state, 'signing_off')
  t.same(stage.peer.heard, ['0820 001'], 'not signed off yet')
  await stage.clock.advanceAsync(1_000)
  await stopped
  t.same(stage.peer.heard, ['0820 001', '0210 000001', '0820 002'])
})

t.test('a port for terminals is ready while it listens and needs no sign-on', async (t) => {
  const stage = new Stage({ ...LISTENS, role: 'terminals' })
  await stage.link.start()
  t.same(stage.told.states, ['down ready listening'])
  const terminal = stage.dial()
  stage.clock.advance(10)
  terminal.say('0200', purchaseFields('000001'))
  terminal.say('0820', { 7: '0105160000', 11: '000002', 70: '001' })
  stage.clock.advance(10)
  const want = ['request 0200 000001', 'request 0820 000002']
  t.same(stage.told.lines, want, 'the pipeline signs terminals on')
  await stage.clock.advanceAsync(0)
  await stage.link.stop(0)
  t.equal(stage.told.states.at(-1), 'signing_off down stopped')
})

t.test('a link without sign-on carries financials at once', async (t) => {
  const stage = new Stage({ signOn: false })
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(10)
  t.same(stage.told.states, ['down connected dialled', 'connected ready no_sign_on_needed'])
  t.equal(stage.send('000001'), 'sent')
})

t.test('a second listener on the same port is refused with one line', async (t) => {
  const stage = new Stage(LISTENS)
  await stage.link.start()
  const other = makeLink(cupsSettings(LISTENS), new Recorder(), stage.net, stage.clock, 'other')
  await t.rejects(other.start(), {
    message: 'cannot listen on 127.0.0.1:7101: the port is in use by another process',
  })
})

t.test('meaning that the dialect cannot carry is refused when the link is made', async (t) => {
  const clock = new VirtualClock()
  const net = new VirtualNet(clock)
  const make = (institution: string): unknown =>
    makeLink(cupsSettings({ institution }), new Recorder(), net, clock, 'x')
  t.throws(() => make('123456789012'), { message: /^link cups: / })
  t.doesNotThrow(() => make('12345678901'))
  t.ok(new Peer())
})
