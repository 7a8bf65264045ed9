// 100,000 mutations of a signed chain, made by somebody who may write everything but cannot sign:
// every one is found. The chain is small and signed at its end, so that each mutation is verified
// whole; signatures are verified once per distinct checkpoint.
import { generateKeyPairSync, sign } from 'node:crypto'
import t from 'tap'
import { seededRandom } from '../switch/runtime/random.ts'
import { checkpointText, makeCheckpoint, checkpointHash, signatureHolds } from './checkpoint.ts'
import type { Checkpoint, CheckpointSigner } from './checkpoint.ts'
import { eventHash, FIRST_PREVIOUS } from './event.ts'
import type { AuditEvent } from './event.ts'
import { verifyChain } from './verify.ts'
import type { ChainInput } from './verify.ts'

const MUTATIONS = 100_000
const EVENTS = 12
const SEED = 'audit mutations 1'
const random = seededRandom(SEED)

function newSigner(): CheckpointSigner {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const der = publicKey.export({ format: 'der', type: 'spki' })
  return {
    publicKey: der.subarray(-65).toString('hex'),
    sign: (text) =>
      sign(
        'sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' },
      ).toString('hex'),
  }
}

function rechained(events: readonly AuditEvent[], from = 0): AuditEvent[] {
  const out = events.slice(0, from)
  for (const event of events.slice(from)) {
    const draft = { ...event, seq: out.length + 1, previous: out.at(-1)?.hash ?? FIRST_PREVIOUS }
    out.push({ ...draft, hash: eventHash(draft) })
  }
  return out
}

const signer = newSigner()
const plain: AuditEvent[] = Array.from({ length: EVENTS }, (_, at) => ({
  seq: at + 1,
  atMs: 1_795_000_000_000 + at * 1000,
  actor: at % 3 === 0 ? 'alice' : 'bob',
  act: at % 2 === 0 ? 'key.generated' : 'approval.approved',
  subject: `cups.zmk.${at}`,
  detail: `{"kcv":"08D7B4","n":${at}}`,
  previous: '',
  hash: '',
}))
const events = rechained(plain)

function sealed(chain: readonly AuditEvent[], by: CheckpointSigner): Checkpoint[] {
  const points: Checkpoint[] = []
  for (const seq of [4, 8, 12]) {
    const event = chain[seq - 1]
    if (event === undefined) continue
    const last = points.at(-1)
    const previous = last === undefined ? FIRST_PREVIOUS : checkpointHash(last)
    points.push(makeCheckpoint(by, event, previous, event.atMs))
  }
  return points
}

const points = sealed(events, signer)
const last = events[EVENTS - 1]!
const whole: ChainInput = {
  events,
  head: { seq: EVENTS, hash: last.hash },
  checkpoints: points,
  fileCheckpoints: points,
  trustedKey: signer.publicKey,
}

const proved = new Map<string, boolean>()
function holds(point: Checkpoint): boolean {
  const key = checkpointText(point) + point.signature
  let known = proved.get(key)
  if (known === undefined) proved.set(key, (known = signatureHolds(point)))
  return known
}

function withHead(chain: readonly AuditEvent[]): Pick<ChainInput, 'events' | 'head'> {
  const end = chain.at(-1)
  return { events: chain, head: { seq: end?.seq ?? 0, hash: end?.hash ?? FIRST_PREVIOUS } }
}

/** Flips one bit of a text's character, or of a hex digit, so that it stays a text of its kind. */
function flipped(text: string): string {
  if (text === '') return 'x'
  const at = random.below(text.length)
  const was = text.charCodeAt(at)
  return text.slice(0, at) + String.fromCharCode(was ^ (1 << random.below(7))) + text.slice(at + 1)
}

function edited(event: AuditEvent): AuditEvent {
  switch (random.below(8)) {
    case 0: return { ...event, seq: event.seq + 1 + random.below(5) }
    case 1: return { ...event, atMs: event.atMs ^ (1 << random.below(20)) }
    case 2: return { ...event, actor: flipped(event.actor) }
    case 3: return { ...event, act: flipped(event.act) }
    case 4: return { ...event, subject: flipped(event.subject) }
    case 5: return { ...event, detail: flipped(event.detail) }
    case 6: return { ...event, previous: flipped(event.previous) }
    default: return { ...event, hash: flipped(event.hash) }
  }
}

const forger = newSigner()
type Mutation = (at: number) => ChainInput
const MUTATE: Readonly<Record<string, Mutation>> = {
  'an edit': (at) => ({ ...whole, events: events.map((e, i) => (i === at ? edited(e) : e)) }),
  'an edit with all hashes made again': (at) => {
    const draft = events.map((e, i) => (i === at ? { ...e, detail: flipped(e.detail) } : e))
    return { ...whole, ...withHead(rechained(draft)) }
  },
  'a deletion': (at) => ({ ...whole, events: events.filter((_, i) => i !== at) }),
  'a deletion with all hashes made again': (at) =>
    ({ ...whole, ...withHead(rechained(events.filter((_, i) => i !== at))) }),
  'a swap': (at) => {
    const draft = [...events]
    const other = (at + 1 + random.below(EVENTS - 1)) % EVENTS
    ;[draft[at], draft[other]] = [draft[other]!, draft[at]!]
    return random.below(2) === 0 ? { ...whole, events: draft } : {
      ...whole,
      ...withHead(rechained(draft)),
    }
  },
  'an insertion': (at) => {
    const draft = [
      ...events.slice(0, at),
      { ...events[at]!, actor: 'mallory' },
      ...events.slice(at),
    ]
    return random.below(2) === 0 ? { ...whole, events: draft } : {
      ...whole,
      ...withHead(rechained(draft)),
    }
  },
  'a truncation with its head': (at) => ({ ...whole, ...withHead(events.slice(0, at)) }),
  'a truncation with its checkpoints in the database': (at) => ({
    ...whole,
    ...withHead(events.slice(0, at)),
    checkpoints: points.filter((point) => point.seq <= at),
  }),
  'a fork signed with a key of their own': (at) => {
    const chain = rechained(events.map((e, i) => (i >= at ? { ...e, actor: 'mallory' } : e)))
    const forged = sealed(chain, { ...forger, sign: () => 'ab'.repeat(64) })
    return { ...whole, ...withHead(chain), checkpoints: forged, fileCheckpoints: forged }
  },
  'a checkpoint edited': (at) => {
    const fields = ['hash', 'previous', 'publicKey', 'signature'] as const
    const field = fields[random.below(fields.length)]!
    const bad = points.map((p, i) => (i === at % 3 ? { ...p, [field]: flipped(p[field]) } : p))
    return { ...whole, checkpoints: bad, fileCheckpoints: random.below(2) === 0 ? bad : points }
  },
  'a checkpoint taken out': (at) => {
    const without = points.filter((_, i) => i !== at % 3)
    return random.below(2) === 0
      ? { ...whole, checkpoints: without }
      : { ...whole, fileCheckpoints: without }
  },
}

t.test('the chain itself has no finding', async (t) => {
  t.same(verifyChain(whole), [])
})

t.test(`${MUTATIONS} mutations are all found (seed '${SEED}')`, async (t) => {
  const kinds = Object.entries(MUTATE)
  const missed = new Map<string, number>()
  for (let n = 0; n < MUTATIONS; n++) {
    const [name, mutate] = kinds[n % kinds.length]!
    const findings = verifyChain(mutate(random.below(EVENTS)), holds)
    if (findings.length === 0) missed.set(name, (missed.get(name) ?? 0) + 1)
  }
  t.same([...missed], [])
})

t.test('taken back to an older state everywhere, it is found by a noted checkpoint', async (t) => {
  const old = points.slice(0, 2)
  const back = { ...whole, ...withHead(events.slice(0, 8)), checkpoints: old, fileCheckpoints: old }
  t.same(verifyChain(back), [], 'nothing here can tell')
  const expect = { seq: EVENTS, hash: last.hash }
  t.same(verifyChain({ ...back, expect }).map((finding) => finding.kind), ['not_expected'])
})

t.test('a chain signed with another key is found, if the token or the auditor says which', async (t) => {
  const forged = sealed(events, forger)
  const kinds = verifyChain({ ...whole, checkpoints: forged, fileCheckpoints: forged })
  t.same(kinds.map((finding) => finding.kind), Array(3).fill('checkpoint_key'))
})
