/**
 * What a link costs per message, without sockets: `node switch/link/link.bench.ts`, a few seconds.
 *
 * Three questions, each as a ratio to walking the same frame once: a request in and its reply out,
 * a request out and its answer in, and the same with a thousand others waiting. The last line is
 * JSON. It must never run in `npm test`.
 */
import { View } from '../codec/view.ts'
import { Fault } from '../codec/fault.ts'
import { walk } from '../codec/walk.ts'
import { systemClock } from '../runtime/clock.ts'
import type { AnswerHandler, Link, Message } from './contract.ts'
import type { Connection, ConnectionEvents, Net } from './port.ts'
import { cupsDialect, cupsFrame, cupsMessage } from './test-bytes.ts'
import { cupsSettings, makeLink, PEER, purchaseFields, Recorder, US } from './test-link.ts'

const MESSAGES = 200_000
const KEYS = 5_000

/** A net whose writes vanish. */
class Sink implements Net {
  events: ConnectionEvents | null = null

  listen(): Promise<never> {
    return Promise.reject(new Error('nobody listens here'))
  }

  connect(_to: unknown, events: ConnectionEvents): Connection {
    this.events = events
    return { remote: 'sink', write: () => true, bufferedBytes: () => 0, close() {} }
  }
}

function stanOf(i: number): string {
  return String((i % KEYS) + 1).padStart(6, '0')
}

/** Microseconds per call of `act`, after a warm-up. */
function measure(act: (i: number) => void): number {
  for (let i = 0; i < MESSAGES / 4; i++) act(i)
  const start = systemClock.monotonicMs()
  for (let i = 0; i < MESSAGES; i++) act(i)
  return ((systemClock.monotonicMs() - start) * 1_000) / MESSAGES
}

async function makeReady(): Promise<{ link: Link; events: ConnectionEvents; told: Recorder }> {
  const net = new Sink()
  const told = new Recorder()
  const settings = cupsSettings({ signOn: false, pendingMax: 4_096 })
  const link = makeLink(settings, told, net, systemClock, 'bench')
  await link.start()
  if (net.events === null) throw new Error('the link did not dial')
  net.events.opened()
  return { link, events: net.events, told }
}

const requests = Array.from({ length: KEYS }, (_, i) =>
  cupsMessage('0200', purchaseFields(stanOf(i))))
const requestFrames = requests.map((message) => cupsFrame(PEER, US, message))
const answers = Array.from({ length: KEYS }, (_, i) =>
  cupsMessage('0210', { ...purchaseFields(stanOf(i)), 39: '00' }))
const answerFrames = answers.map((message) => cupsFrame(PEER, US, message))

const view = new View(cupsDialect)
const fault = new Fault()
const walkUs = measure((i) => {
  const message = requests[i % KEYS]!
  if (!walk(cupsDialect, message, 0, message.length, view, fault)) throw new Error(fault.kind)
})

const { link, events, told } = await makeReady()
told.request = (message: Message) => {
  link.reply(message, answers[0]!)
  message.release()
}
const replyUs = measure((i) => events.data(requestFrames[i % KEYS]!))

let answered = 0
const handler: AnswerHandler = {
  answered(message) {
    answered++
    message.release()
  },
  timedOut() {},
  lost() {},
}
const far = systemClock.monotonicMs() + 3_600_000
const exchange = (i: number): void => {
  const outcome = link.send(requests[i % KEYS]!, 'bench', far, handler)
  if (outcome !== 'sent') throw new Error(outcome)
  events.data(answerFrames[i % KEYS]!)
}
const exchangeUs = measure(exchange)
// A thousand other keys wait meanwhile.
for (let i = 0; i < 1_000; i++) {
  link.send(cupsMessage('0100', purchaseFields(stanOf(i))), 'bench', far, handler)
}
const crowdedUs = measure(exchange)
await link.stop(0)

const rounded = (value: number): number => Math.round(value * 100) / 100
process.stdout.write(
  `${JSON.stringify({
    name: 'link',
    ratio: {
      reply_to_walk: rounded(replyUs / walkUs),
      exchange_to_walk: rounded(exchangeUs / walkUs),
      crowded_to_alone: rounded(crowdedUs / exchangeUs),
    },
    absolute: {
      walk_us: rounded(walkUs), reply_us: rounded(replyUs), exchange_us: rounded(exchangeUs),
      crowded_us: rounded(crowdedUs),
    },
    checks: { every_request_answered: answered === 2 * MESSAGES * 1.25 },
  })}\n`,
)
process.exit(answered === 2 * MESSAGES * 1.25 ? 0 : 1)
