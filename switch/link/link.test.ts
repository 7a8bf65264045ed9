// What a link does with messages: matching, bounds, bad bytes, and who may send what. behaviours.md
// A, B, E.
import t from 'tap'
import { framingFor } from '../framing/framings.ts'
import type { Message } from './contract.ts'
import type { Connection } from './port.ts'
import {
  AT, cupsSettings, Peer, PEER, purchase, purchaseFields, Stage, US,
} from './test-link.ts'
import {
  cupsFrame, cupsMessage, visaDialect, visaFrame, visaMeaning, visaMessage,
} from './test-bytes.ts'

async function readyStage(changes: Parameters<typeof cupsSettings>[0] = {}): Promise<Stage> {
  const stage = new Stage(changes)
  await stage.listen()
  await stage.link.start()
  stage.clock.advance(50)
  return stage
}

t.test('answers in any order find their requests; equal STANs stay apart', async (t) => {
  const stage = await readyStage()
  stage.send('000001')
  stage.send('000002')
  stage.send('000001', 30_000, { 33: '87654321' })
  stage.clock.advance(5)
  stage.peer.say('0210', { ...purchaseFields('000001'), 33: '87654321', 39: '33' })
  stage.peer.say('0210', { ...purchaseFields('000002'), 39: '22' })
  stage.peer.say('0210', { ...purchaseFields('000001'), 39: '11' })
  stage.clock.advance(5)
  t.same(stage.told.lines, ['000001 answered 33', '000002 answered 22', '000001 answered 11'])
  t.equal(stage.link.pendingCount(), 0)
})

t.test('what leaves is the message as given, behind a header with both ids', async (t) => {
  const stage = await readyStage()
  stage.send('000001')
  stage.clock.advance(5)
  const frame = stage.peer.reader.frames.at(-1)
  t.same(frame, { to: PEER, from: US, mti: '0200', fields: purchaseFields('000001') })
})

t.test('the key folds answers and repeats onto their request', async (t) => {
  const stage = await readyStage()
  const key = (mti: string): string => stage.link.keyOf(cupsMessage(mti, purchaseFields('000001')))
  t.equal(key('0200'), '0200|0105160000|000001|12345678')
  for (const [mti, request] of [
    ['0210', '0200'], ['0201', '0200'], ['0211', '0200'], ['0430', '0420'],
    ['0421', '0420'], ['0432', '0422'], ['0130', '0120'], ['0110', '0100'],
  ] as const) t.equal(key(mti).slice(0, 4), request, mti)
})

t.test('a request that nobody answers times out at its deadline, once', async (t) => {
  const stage = await readyStage()
  stage.send('000001', 1_000)
  stage.clock.advance(990)
  t.same(stage.told.lines, [])
  stage.clock.advance(30)
  t.same(stage.told.lines, ['000001 timedOut'])
})

t.test('an answer after the time-out is late, with its owner, and changes nothing', async (t) => {
  const stage = await readyStage()
  stage.send('000001', 1_000)
  stage.clock.advance(1_500)
  stage.peer.say('0210', { ...purchaseFields('000001'), 39: '00' })
  stage.clock.advance(5)
  t.same(stage.told.lines, ['000001 timedOut', 'unmatched 000001 late txn-000001'])
})

t.test('an answer that matches nothing is told with its near miss', async (t) => {
  const stage = await readyStage()
  stage.send('000001')
  stage.clock.advance(5)
  stage.peer.say('0210', { ...purchaseFields('000001'), 33: '99999999', 39: '00' })
  stage.peer.say('0210', { ...purchaseFields('000077'), 7: '0101000000', 39: '00' })
  stage.peer.say('0210', { ...purchaseFields('000001'), 39: '00' })
  stage.peer.say('0210', { ...purchaseFields('000001'), 39: '00' })
  stage.clock.advance(5)
  t.same(stage.told.lines, [
    'unmatched 000001 near txn-000001 33', 'unmatched 000077 unknown', '000001 answered 00',
    'unmatched 000001 unknown',
  ], 'a copy of an answer is nobody else\'s near miss')
})

t.test('an identical key is refused while the first one waits', async (t) => {
  const stage = await readyStage()
  t.equal(stage.send('000001'), 'sent')
  t.equal(stage.send('000001'), 'key_in_use')
  stage.clock.advance(5)
  t.same(stage.peer.heard, ['0820 001', '0200 000001'], 'nothing was sent twice')
})

t.test('the table is full at its bound and free again after an answer', async (t) => {
  const stage = await readyStage({ pendingMax: 2 })
  t.equal(stage.send('000001'), 'sent')
  t.equal(stage.send('000002'), 'sent')
  t.equal(stage.send('000003'), 'pending_full')
  stage.clock.advance(5)
  stage.peer.say('0210', { ...purchaseFields('000002'), 39: '00' })
  stage.clock.advance(5)
  t.equal(stage.send('000003'), 'sent')
})

t.test('a full write buffer refuses the request, which is then known not to be sent', async (t) => {
  const bytes = cupsFrame(US, PEER, purchase('000001')).length
  const stage = await readyStage({ writeBufferBytesMax: bytes * 3, pendingMax: 100 })
  const pipe = stage.net.pipes[0]
  if (pipe === undefined) throw new Error('no connection')
  pipe.dialled.stalled = true
  const outcomes = ['000001', '000002', '000003', '000004'].map((stan) => stage.send(stan))
  t.same(outcomes, ['sent', 'sent', 'sent', 'write_failed'])
  t.equal(stage.link.pendingCount(), 3, 'the fourth waits for nothing')
})

t.test('a dropped connection with requests waiting tells each of them once', async (t) => {
  const stage = await readyStage()
  stage.send('000001')
  stage.send('000002')
  stage.clock.advance(5)
  stage.peer.net?.close('crash')
  stage.clock.advance(5)
  t.same(stage.told.lines, ['000001 lost peer_closed', '000002 lost peer_closed'])
  stage.clock.advance(60_000)
  t.equal(stage.told.lines.length, 2)
})

t.test('an answer for a lost request, over the next connection, is late', async (t) => {
  const stage = await readyStage()
  stage.send('000001')
  stage.clock.advance(5)
  stage.peer.net?.close('crash')
  stage.clock.advance(2_000)
  t.equal(stage.peers.length, 2)
  stage.peer.say('0210', { ...purchaseFields('000001'), 39: '00' })
  stage.clock.advance(5)
  t.equal(stage.told.lines.at(-1), 'unmatched 000001 late txn-000001')
})

t.test('a request may be sent again by the handler that was told of its end', async (t) => {
  const stage = await readyStage()
  let outcome = ''
  stage.link.send(purchase('000001'), 'txn', stage.clock.monotonicMs() + 100, {
    answered() {},
    lost() {},
    timedOut() {
      outcome = stage.send('000001')
    },
  })
  stage.clock.advance(200)
  t.equal(outcome, 'sent')
})

t.test('network requests of the peer are answered while business waits', async (t) => {
  const stage = await readyStage()
  stage.send('000001')
  stage.clock.advance(5)
  stage.peer.say('0820', { 7: '0105160000', 11: '000055', 70: '301' })
  stage.clock.advance(5)
  t.match(stage.peer.reader.frames.at(-1), {
    mti: '0830', fields: { 11: '000055', 39: '00', 70: '301' },
  })
  stage.peer.say('0821', { 7: '0105160000', 11: '000056', 70: '301' })
  stage.clock.advance(5)
  const repeat = { mti: '0830', fields: { 11: '000056' } }
  t.match(stage.peer.reader.frames.at(-1), repeat, 'a repeat too')
  t.equal(stage.link.pendingCount(), 1)
})

t.test('keys and unknown network codes go to the pipeline, cut-over is answered', async (t) => {
  const stage = await readyStage()
  for (const [stan, code] of [['1', '101'], ['2', '201'], ['3', '202'], ['4', '777']] as const) {
    stage.peer.say('0820', { 7: '0105160000', 11: `00000${stan}`, 70: code })
  }
  stage.clock.advance(5)
  stage.peer.say('0620', { 7: '0105160000', 11: '000005', 70: '951' })
  stage.peer.say('0802', { 7: '0105160000', 11: '000006', 70: '001' })
  stage.clock.advance(5)
  t.same(stage.told.lines, [
    'request 0820 000001', 'request 0820 000004', 'request 0620 000005', 'request 0802 000006',
  ])
  const answered = stage.peer.reader.frames.filter((frame) => frame.mti === '0830')
  t.same(answered.slice(-2).map((frame) => [frame.fields[11], frame.fields[39]]), [
    ['000002', '00'], ['000003', '00'],
  ])
})

t.test('a reply goes back on the connection of its request, envelope turned', async (t) => {
  const stage = new Stage({ listen: AT, connect: null, signOn: false })
  await stage.link.start()
  const [first, second] = [stage.dial(), stage.dial()]
  stage.clock.advance(10)
  stage.told.onRequest = (message) => {
    const answer = cupsMessage('0210', { 11: message.view.text(11), 39: '00' })
    t.equal(stage.link.reply(message, answer), true)
  }
  first.say('0200', purchaseFields('000001'))
  second.say('0200', purchaseFields('000002'))
  stage.clock.advance(10)
  t.same(first.reader.frames, [
    { to: PEER, from: US, mti: '0210', fields: { 11: '000001', 39: '00' } },
  ])
  t.equal(second.reader.frames[0]?.fields[11], '000002')
})

t.test('a reply to a connection that has gone is refused', async (t) => {
  const stage = new Stage({ listen: AT, connect: null, signOn: false })
  await stage.link.start()
  const peer = stage.dial()
  stage.clock.advance(10)
  let replied: boolean | null = null
  stage.told.onRequest = (message) => {
    peer.net?.close('gone')
    stage.clock.after(10, () => {
      replied = stage.link.reply(message, cupsMessage('0210', { 39: '00' }))
    })
  }
  peer.say('0200', purchaseFields('000001'))
  stage.clock.advance(50)
  t.equal(replied, false)
})

t.test('requests take the ready connections in turn', async (t) => {
  const stage = new Stage({ listen: AT, connect: null, signOn: false })
  await stage.link.start()
  const peers = [stage.dial(), stage.dial(), stage.dial()]
  stage.clock.advance(10)
  for (let i = 1; i <= 6; i++) stage.send(`00000${i}`)
  stage.clock.advance(5)
  t.same(peers.map((peer) => peer.heard.length), [2, 2, 2])
  peers[1]?.net?.close('one less')
  stage.clock.advance(10)
  t.equal(stage.link.pendingCount(), 4, 'only the requests of that connection are lost')
  stage.send('000007')
  stage.clock.advance(5)
  t.equal((peers[0]?.heard.length ?? 0) + (peers[2]?.heard.length ?? 0), 5)
})

t.test('a stranger on the port cannot answer for the peer', async (t) => {
  const stage = new Stage({ listen: AT, connect: null })
  await stage.link.start()
  const [peer, stranger] = [stage.dial(), stage.dial()]
  stage.clock.advance(10)
  peer.say('0820', { 7: '0105160000', 11: '000001', 33: PEER, 70: '001' })
  stage.clock.advance(10)
  stage.send('000002')
  stage.clock.advance(5)
  stranger.say('0210', { ...purchaseFields('000002'), 39: '00' })
  stage.clock.advance(5)
  t.same(stage.told.lines, ['unmatched 000002 unknown'])
  t.equal(stage.link.pendingCount(), 1)
})

t.test('a body that does not parse is told and the link stays', async (t) => {
  const stage = await readyStage()
  const bad = purchase('000001')
  bad[50] = 0x41 // a letter in a numeric field
  stage.peer.raw(cupsFrame(PEER, US, bad))
  stage.peer.raw(cupsFrame(PEER, US, Buffer.from('02')))
  stage.peer.say('0820', { 7: '0105160000', 11: '000002', 70: '301' })
  stage.clock.advance(5)
  t.equal(stage.told.lines.length, 2)
  t.match(stage.told.lines[0], /^malformed not_digits /)
  t.match(stage.told.lines[1], /^malformed mti_truncated 0/)
  t.equal(stage.peer.heard.at(-1), '0830 301')
  t.equal(stage.link.state, 'ready')
})

t.test('a frame beyond the bound ends its own connection only, with the reason', async (t) => {
  const stage = new Stage({ listen: AT, connect: null, signOn: false, frameBytesMax: 500 })
  await stage.link.start()
  const [good, bad, worse] = [stage.dial(), stage.dial(), stage.dial()]
  stage.clock.advance(10)
  bad.raw(Buffer.from('0501'))
  worse.raw(Buffer.from('02x0'))
  stage.clock.advance(5)
  t.same(stage.ended, ['frame_length_out_of_range', 'frame_length_not_decimal'])
  t.same([good.isOpen, bad.isOpen, worse.isOpen], [true, false, false])
  t.equal(stage.link.state, 'ready')
})

t.test('frames behind the one that ended the connection are not read', async (t) => {
  const stage = await readyStage()
  stage.told.onRequest = () => void stage.net.pipes[0]?.dialled.end('reset')
  const one = (stan: string): Buffer => cupsFrame(PEER, US, purchase(stan))
  stage.peer.raw(Buffer.concat([one('000001'), Buffer.from('zzzz'), one('000002')]))
  stage.clock.advance(5)
  t.same(stage.told.lines, ['request 0200 000001'])
})

t.test('cut at every byte, or three in one segment: the same messages arrive', async (t) => {
  const frames = ['000001', '000002', '000003'].map((stan) => cupsFrame(PEER, US, purchase(stan)))
  const all = Buffer.concat([frames[0]!, Buffer.from('0000'), frames[1]!, frames[2]!])
  const want = ['request 0200 000001', 'request 0200 000002', 'request 0200 000003']
  const stage = await readyStage()
  const feed = (chunks: Buffer[]): string[] => {
    stage.told.lines.length = 0
    for (const chunk of chunks) stage.peer.raw(chunk)
    stage.clock.advance(2)
    return [...stage.told.lines]
  }
  t.same(feed([all]), want, 'one segment')
  t.same(feed([...all].map((byte) => Buffer.from([byte]))), want, 'byte by byte')
  let wrong = 0
  for (let cut = 1; cut < all.length; cut++) {
    if (String(feed([all.subarray(0, cut), all.subarray(cut)])) !== String(want)) wrong++
  }
  t.equal(wrong, 0, 'every cut')
})

t.test('an accepted connection that is silent, or does not end its frame, is closed', async (t) => {
  const stage = new Stage({ listen: AT, connect: null, signOn: false, role: 'terminals' })
  await stage.link.start()
  const silent = stage.dial()
  const slow = stage.dial()
  const good = stage.dial()
  stage.clock.advance(10)
  const frame = cupsFrame(PEER, US, purchase('000001'))
  good.raw(frame)
  slow.raw(frame.subarray(0, 1))
  for (let i = 1; i < 20; i++) {
    stage.clock.advance(500)
    if (slow.isOpen) slow.raw(frame.subarray(i, i + 1)) // two bytes a second
  }
  t.same(stage.ended, ['frame_timeout'], 'five seconds for a frame, however often a byte comes')
  stage.clock.advance(1_000)
  t.same(stage.ended, ['frame_timeout', 'first_byte_timeout'])
  stage.clock.advance(3_600_000)
  t.same([silent.isOpen, slow.isOpen, good.isOpen], [false, false, true], 'an idle terminal stays')
})

t.test('one connection more than the bound is closed at once', async (t) => {
  const stage = new Stage({ listen: AT, connect: null, signOn: false, connectionsMax: 2 })
  await stage.link.start()
  const [first] = [stage.dial(), stage.dial()]
  const third = stage.dial()
  stage.clock.advance(10)
  t.same(stage.peers.map((peer) => peer.isOpen), [true, true, false])
  t.equal(third.closedCause, 'peer_closed')
  first?.net?.close('done')
  stage.clock.advance(10)
  const fourth = stage.dial()
  stage.clock.advance(10)
  t.equal(fourth.isOpen, true)
})

t.test('a rejected message is told with its original, which stops waiting at once', async (t) => {
  const stage = await readyStage()
  stage.send('000001')
  stage.clock.advance(5)
  const original = cupsFrame(US, PEER, purchase('000001')).subarray(4)
  stage.peer.raw(cupsFrame(PEER, US, original, '00035'))
  stage.clock.advance(5)
  t.same(stage.told.lines, [
    `rejected 92 ${original.length - 46}`, '000001 lost rejected_by_network',
  ])
})

t.test('a released message shows nothing; releasing it twice is harmless', async (t) => {
  const stage = await readyStage()
  stage.told.request = (message) => {
    message.release()
    message.release()
    const { view, envelope } = message
    stage.told.lines.push(`${view.has(11)} ${view.text(11)} ${envelope.length}`)
  }
  stage.peer.say('0200', purchaseFields('000001'))
  stage.peer.say('0200', purchaseFields('000002'))
  stage.clock.advance(5)
  t.same(stage.told.lines, ['false  46', 'false  46'])
  const stopped = stage.link.stop(60_000)
  await stage.clock.advanceAsync(100)
  await stopped
  t.equal(stage.link.state, 'down', 'nothing counts as being worked on')
})

t.test('a view that was released twice is not given to two messages', async (t) => {
  const stage = await readyStage()
  const kept: string[] = []
  const held: Message[] = []
  stage.told.request = (message) => {
    held.push(message)
    if (held.length > 1) return
    message.release()
    message.release()
  }
  for (const stan of ['000001', '000002', '000003']) stage.peer.say('0200', purchaseFields(stan))
  stage.clock.advance(5)
  for (const message of held) kept.push(message.view.text(11))
  t.same(kept, ['', '000002', '000003'])
})

t.test('a keep-alive that answers ours is not answered, another one is', async (t) => {
  const { network: _, ...withoutNetwork } = visaMeaning
  const stage = new Stage({
    dialect: visaDialect, meaning: withoutNetwork, framing: framingFor('visa'), signOn: false,
  })
  let seen = 0
  const keepAlive = Buffer.alloc(4)
  let net: Connection | null = null
  await stage.net.listen(AT, (connection) => {
    net = connection
    return { opened() {}, closed() {}, data: (chunk) => void (seen += chunk.length) }
  })
  const say = (): void => {
    net?.write(keepAlive)
    stage.clock.advance(10)
  }
  await stage.link.start()
  stage.clock.advance(60_100)
  t.equal(seen, 4, 'ours, after a minute of silence')
  say()
  t.equal(seen, 4, 'its answer')
  say()
  t.equal(seen, 8, 'one of theirs')
  say()
  t.equal(seen, 12)
})

t.test('Visa: sign-on with its header, keep-alive echoed, reject header understood', async (t) => {
  const stage = new Stage({
    dialect: visaDialect, meaning: visaMeaning, framing: framingFor('visa'), institution: '129128',
    peerInstitution: '',
  })
  const seen: Buffer[] = []
  await stage.net.listen(AT, (net) => {
    const peer = new Peer()
    peer.net = net
    peer.data = (chunk) => void seen.push(Buffer.from(chunk))
    stage.peers.push(peer)
    return peer
  })
  await stage.link.start()
  stage.clock.advance(10)
  // 2026-01-05 08:00 UTC is day 005, hour 08.
  const stan = seen[0]?.subarray(49, 52).toString('hex') ?? ''
  const fields = { 7: '0105080000', 11: stan, 37: `600508${stan}`, 70: '071' }
  const want = visaFrame('000000', '129128', visaMessage('0800', fields))
  t.equal(seen[0]?.toString('hex'), want.toString('hex'))
  stage.peer.raw(visaFrame('129128', '000000', visaMessage('0810', { ...fields, 39: '00' })))
  stage.clock.advance(10)
  t.equal(stage.link.state, 'ready')
  stage.peer.raw(Buffer.alloc(4))
  stage.clock.advance(10)
  t.equal(seen.at(-1)?.toString('hex'), '00000000')
  const body = visaMessage('0200', {
    7: '0105080000', 11: '000001', 37: '600508000001', 41: '00000001',
  })
  const request = visaFrame('000000', '129128', body).subarray(4)
  stage.link.send(request, 'txn-1', stage.clock.monotonicMs() + 9_000, stage.told.waiter('one'))
  const total = 26 + request.length
  const h4 = total.toString(16).padStart(4, '0')
  const reject = Buffer.from(`1a0102${h4}129128000000`.padEnd(44, '0') + '80001234', 'hex')
  stage.peer.raw(Buffer.concat([Buffer.from([total >> 8, total & 255, 0, 0]), reject, request]))
  stage.clock.advance(10)
  t.same(stage.told.lines, [`rejected 26 ${request.length}`, 'one lost rejected_by_network'])
})
