/**
 * What a switch must survive, sent through real sockets to the running process: garbage, lengths
 * beyond the bound, messages that do not parse, requests nobody signed on for. Each gets its answer
 * or its end, and nothing else is disturbed.
 *
 * The bytes are written by hand here, not by our encoder. Expected behaviour: behaviours.md A3,
 * G45, G46, I57.
 */

import t from 'tap'
import { cardNamed } from '../simulators/cards.ts'
import { systemClock, wait } from '../switch/runtime/clock.ts'
import { partnerFields, RawPeer } from './raw-peer.ts'
import { World } from './world.ts'

const world = await World.make()
t.teardown(() => world.close())
await world.startSwitch()
await world.startSchemes()
await world.linksReady()

const pos = world.pos()
await pos.connect()
t.teardown(() => pos.close())
await pos.signOn()

/** The POS that is signed on still gets its answers. */
async function othersUndisturbed(): Promise<void> {
  const card = cardNamed('own-1')
  const result = await pos.sale({ card, amountMinor: 100, chip: true, withPin: true })
  if (result.code !== '00') throw new Error(`a good sale was answered ${result.code}`)
}

// TPDU 6000030000, application header 603100310730, as a terminal sends them.
const POS_HEAD = '6000030000 603100310730'

t.test('garbage whose length is beyond the bound closes that connection only', async (t) => {
  const peer = new RawPeer(world, 'pos')
  peer.send('FFFF DEADBEEF')
  await peer.untilClosed()
  t.equal(peer.received.length, 0)
  await othersUndisturbed()
})

t.test('a body that does not parse is answered with a format error where its trace number can be read', async (t) => {
  const peer = new RawPeer(world, 'pos')
  // 0800 with fields 11, 41 and 62, whose length 9999 is longer than the message.
  const body = '0800 0020000000800004 000123 3130303030303031 9999 0102030405'
  peer.send(`0026 ${POS_HEAD} ${body}`)
  const answer = await peer.answer()
  t.match(answer.toString('hex'), /0810/)
  t.ok(answer.includes(Buffer.from('30')), 'DE39 = 30')
  t.ok(answer.includes(Buffer.from('000123', 'hex')), 'DE11 as sent')
  t.notOk(peer.closed, 'the connection stays')
  peer.end()
  await othersUndisturbed()
})

t.test('bytes that hold no MTI are counted and not answered, and the connection stays', async (t) => {
  const peer = new RawPeer(world, 'partner')
  peer.sendText('XYZ')
  await world.until('counted', async () => {
    return /decode_faults_total\{[^}]*link="partner"[^}]*\} [1-9]/.test(await world.metricsText())
  })
  t.notOk(peer.closed)
  t.equal(peer.received.length, 0)
  peer.end()
})

t.test('an unknown MTI is answered as not supported', async (t) => {
  const peer = new RawPeer(world, 'partner')
  peer.sendText(SIGN_ON)
  t.match((await peer.answer()).toString('latin1'), /0810/)
  peer.sendText('0300' + '2020000000800000' + '000000' + '000077' + '12345678')
  const answer = (await peer.answer()).toString('latin1')
  t.match(answer, /0310/)
  t.match(answer, /40/)
  peer.end()
})

t.test('a missing mandatory field is answered with a format error', async (t) => {
  const peer = new RawPeer(world, 'partner')
  peer.sendText(SIGN_ON)
  await peer.answer()
  peer.sendText('0200' + '2020000000800000' + '000000' + '000078' + '12345678')
  t.match((await peer.answer()).toString('latin1'), /0210.*30/)
  peer.end()
})

t.test('a financial message before sign-on is refused and moves nothing', async (t) => {
  const peer = new RawPeer(world, 'partner')
  peer.sendText(purchase('4000001000002113', '000079'))
  const answer = (await peer.answer()).toString('latin1')
  t.match(answer, /^..0210/s)
  t.match(answer, /91/)
  const { rows } = await world.sql.query(
    `SELECT 1 FROM txn WHERE source_link = 'partner' AND stan = '000079'`,
  )
  t.same(rows, [])
  peer.end()
})

t.test('an unknown card range is declined, never sent somewhere by default', async (t) => {
  const peer = new RawPeer(world, 'partner')
  peer.sendText(SIGN_ON)
  await peer.answer()
  peer.sendText(purchase('3500001000001237', '000080'))
  t.match((await peer.answer()).toString('latin1'), /0210.*15/s)
  peer.end()
})

t.test('a signed-on partner reaches Visa and is answered', async (t) => {
  const peer = new RawPeer(world, 'partner')
  peer.sendText(SIGN_ON)
  await peer.answer()
  peer.sendText(purchase('4000001000002113', '000081'))
  const answer = (await peer.answer()).toString('latin1')
  t.equal(partnerFields(answer.slice(2))[39], '00')
  peer.end()
})

t.test('a terminal that is not registered is refused', async (t) => {
  const peer = new RawPeer(world, 'pos')
  // 0800 with 11, 41 = 99999999, 42, 60 = 00000001003.
  const body =
    `${POS_HEAD} 0800 0020000000C00010 000001 3939393939393939 ` +
    '313233343536373839303132333435 0011 000000010030'
  const length = Buffer.from(body.replace(/ /g, ''), 'hex').length.toString(16).padStart(4, '0')
  peer.send(length + body)
  const answer = await peer.answer()
  t.ok(answer.includes(Buffer.from('97')), 'DE39 = 97')
  peer.end()
})

t.test('twenty connections that say nothing disturb nobody', async (t) => {
  const peers = Array.from({ length: 20 }, () => new RawPeer(world, 'pos'))
  await wait(systemClock, 300)
  await othersUndisturbed()
  t.notOk(peers.some((peer) => peer.closed), 'their time is not over yet')
  for (const peer of peers) peer.end()
})

t.test('a frame that is cut into single bytes is one frame', async (t) => {
  const peer = new RawPeer(world, 'partner')
  const body = Buffer.from(SIGN_ON, 'latin1')
  const frame = Buffer.concat([Buffer.from([body.length >> 8, body.length & 0xff]), body])
  for (const byte of frame) peer.socket.write(Buffer.from([byte]))
  t.match((await peer.answer()).toString('latin1'), /0810/)
  peer.end()
})

t.test('keep-alives are no messages', async (t) => {
  const peer = new RawPeer(world, 'cups')
  peer.socket.write('0000')
  peer.socket.write('0000')
  await wait(systemClock, 200)
  t.notOk(peer.closed)
  peer.end()
})

t.test('after all of it the switch is ready, and nothing was approved that should not have been', async (t) => {
  t.match(await world.readyText(), /visa ready/)
  const { rows } = await world.sql.query(`SELECT * FROM ledger_imbalance`)
  t.same(rows, [])
})

/** 0800 sign-on of the partner: fields 7, 11, 70. */
const SIGN_ON = '0800' + '8220000000000000' + '0400000000000000' + '1122120000' + '000001' + '001'

/** 0200 with 2, 3, 4, 7, 11, 12, 13, 14, 22, 25, 41, 49, in hexadecimal-bitmap ASCII. */
function purchase(pan: string, stan: string): string {
  return (
    '0200' + '723C048000808000' + '16' + pan + '000000' + '000000001500' + '1122120000' + stan +
    '200000' + '1122' + '3112' + '021' + '00' + 'PART0001' + '156'
  )
}
