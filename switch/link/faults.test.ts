// Exchanges under random faults: every request ends once, and nothing is left waiting (R10).
import t from 'tap'
import { seededRandom } from '../runtime/random.ts'
import { cupsFrame, cupsMessage } from './test-bytes.ts'
import { PEER, purchaseFields, Stage, US, type Peer } from './test-link.ts'

const SEEDS = 200
const REQUESTS_PER_SEED = 100
const WAIT_MS = 2_000

/** Sends bytes in pieces cut anywhere, some of them together. */
function sayCut(peer: Peer, bytes: Buffer, below: (limit: number) => number): void {
  for (let at = 0; at < bytes.length; ) {
    const take = 1 + below(below(2) === 0 ? 3 : bytes.length)
    peer.raw(bytes.subarray(at, at + take))
    at += take
  }
}

interface Outcome {
  sent: number
  notSent: number
  endings: Map<string, string[]>
}

/** One run: a hundred requests against a peer that misbehaves as the seed says. */
async function run(seed: number): Promise<{ outcome: Outcome; stage: Stage }> {
  const random = seededRandom(`faults ${seed}`)
  const below = (limit: number): number => random.below(limit)
  const stage = new Stage({
    pendingMax: 32, frameTimeoutMs: 1_000, echoIdleMs: 5_000, networkTimeoutMs: 1_000,
  })
  const outcome: Outcome = { sent: 0, notSent: 0, endings: new Map() }
  stage.onPeer = (peer) => {
    peer.onBusiness = ({ fields }) => {
      const answer = cupsFrame(PEER, US, cupsMessage('0210', { ...fields, 39: '00' }))
      const at = (delayMs: number, act: () => void): void => void stage.clock.after(delayMs, act)
      switch (below(12)) {
        case 0: // silence
          return
        case 1: // late
          return at(WAIT_MS + 500, () => sayCut(peer, answer, below))
        case 2: // at the deadline
          return at(WAIT_MS - below(5), () => peer.raw(answer))
        case 3: // three copies in one segment
          return peer.raw(Buffer.concat([answer, answer, answer]))
        case 4: // an answer that nobody asked for
          return peer.say('0210', { ...fields, 11: '999999', 39: '00' })
        case 5: // a body that does not parse, then the answer
          return peer.raw(Buffer.concat([cupsFrame(PEER, US, Buffer.from('0210junk')), answer]))
        case 6: // the connection ends, in the middle of the answer or before it
          peer.raw(answer.subarray(0, below(answer.length)))
          return peer.net?.close('fault')
        case 7: // framing is lost
          return below(4) === 0 ? peer.raw(Buffer.from('zz')) : peer.raw(answer)
        case 8: // half-open from here on
          if (below(4) === 0) stage.net.pipes.at(-1)!.accepted.cut = true
          return
        default:
          return at(below(1_500), () => sayCut(peer, answer, below))
      }
    }
  }
  await stage.listen()
  await stage.link.start()
  for (let i = 1; i <= REQUESTS_PER_SEED; i++) {
    stage.clock.advance(below(400))
    const stan = String(i).padStart(6, '0')
    const endings: string[] = []
    outcome.endings.set(stan, endings)
    const message = cupsMessage('0200', purchaseFields(stan))
    const sent = stage.link.send(message, stan, stage.clock.monotonicMs() + WAIT_MS, {
      answered: (answer) => {
        endings.push(`answered ${answer.view.text(11)}`)
        answer.release()
      },
      timedOut: () => void endings.push('timedOut'),
      lost: () => void endings.push('lost'),
    })
    if (sent === 'sent') outcome.sent++
    else {
      outcome.notSent++
      outcome.endings.delete(stan)
    }
  }
  stage.clock.advance(WAIT_MS + 1_000)
  return { outcome, stage }
}

t.test(`${SEEDS * REQUESTS_PER_SEED} exchanges under faults: each ends once, none is left`, async (t) => {
  const counts = new Map<string, number>()
  for (let seed = 0; seed < SEEDS; seed++) {
    const { outcome, stage } = await run(seed)
    for (const [stan, endings] of outcome.endings) {
      if (endings.length !== 1) t.fail(`seed ${seed}, ${stan}: ${endings.length} endings`)
      const kind = endings[0]?.startsWith('answered') ? 'answered' : (endings[0] ?? 'none')
      if (kind === 'answered' && endings[0] !== `answered ${stan}`) {
        t.fail(`seed ${seed}: ${stan} got the answer of ${endings[0]}`)
      }
      counts.set(kind, (counts.get(kind) ?? 0) + 1)
    }
    // An echo of our own may be under way; nothing else may.
    const waiting = stage.link.pendingCount()
    if (waiting > 1) t.fail(`seed ${seed}: ${waiting} still wait`)
    counts.set('not sent', (counts.get('not sent') ?? 0) + outcome.notSent)
    const stopped = stage.link.stop(5_000)
    await stage.clock.advanceAsync(20_000)
    await stopped
    if (stage.link.pendingCount() !== 0) t.fail(`seed ${seed}: waiting after stop`)
  }
  t.comment(JSON.stringify(Object.fromEntries(counts)))
  for (const kind of ['answered', 'timedOut', 'lost', 'not sent']) {
    t.ok((counts.get(kind) ?? 0) > 50, `${kind} happened`)
  }
})
