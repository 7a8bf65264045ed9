/**
 * The business procedures: per kind of request an ordered list of named steps, readable aloud.
 *
 * run.ts walks a list; a step says `next`, `answer` (nothing more to find out, answer now) or
 * `drop`. Every list begins with the same reception, and every transaction ends in run.ts with its
 * answer, its log line and its metrics. To add a procedure: write its steps in steps/, list them
 * here, and name its kind in the dialect files (docs/ARCHITECTURE.md).
 */

import type { Context, Next, Step } from './context.ts'
import type { RequestKind, Txn } from './txn.ts'
import { authorize } from './steps/authorize.ts'
import { checkFormat } from './steps/check-format.ts'
import { chooseRoute } from './steps/choose-route.ts'
import { findCard } from './steps/find-card.ts'
import { forwardWith, type Speech } from './steps/forward.ts'
import { identifyCard } from './steps/identify-card.ts'
import { identifyTerminal } from './steps/identify-terminal.ts'
import { importZoneKey } from './steps/import-zone-key.ts'
import { journalIntent } from './steps/journal-intent.ts'
import { makeArpc } from './steps/make-arpc.ts'
import { makeTerminalKeys } from './steps/make-terminal-keys.ts'
import { reverseOriginal } from './steps/reverse-original.ts'
import { translatePin } from './steps/translate-pin.ts'
import { verifyCryptogram } from './steps/verify-cryptogram.ts'
import { verifyPin } from './steps/verify-pin.ts'
import { verifyRequestMac } from './steps/verify-request-mac.ts'

export type Flow = readonly Step[]

/** Who sends this, and is it whole? The first part of every procedure. */
const reception: Flow = [identifyTerminal, verifyRequestMac, checkFormat]

/** A request on one of our own cards: verified, decided and posted here. */
export const onUs: Flow = [findCard, verifyPin, verifyCryptogram, authorize, makeArpc]

/** A request on another issuer's card: durable, sent, answered or reversed. */
export const offUs = (speech: Speech): Flow => [
  translatePin, journalIntent, forwardWith(speech),
]

/**
 * Every procedure by kind of request; a kind that is not here is answered
 * `unsupported_transaction`.
 */
export function flowsFor(
  speech: Speech,
  joinDuplicate: Step,
  awaitOriginal: Step,
): ReadonlyMap<RequestKind, Flow> {
  const away = offUs(speech)
  const byRoute = function byRoute(txn: Txn, context: Context): Promise<Next> {
    return walkFlow(txn.route === 'on_us' ? onUs : away, txn, context)
  }
  const financial: Flow = [...reception, identifyCard, joinDuplicate, chooseRoute, byRoute]
  const reversal: Flow = [
    ...reception, identifyCard, joinDuplicate, awaitOriginal, reverseOriginal,
  ]
  return new Map<RequestKind, Flow>([
    ['purchase', financial],
    ['cash', financial],
    ['balance', financial],
    ['reversal', reversal],
    ['terminal_sign_on', [...reception, makeTerminalKeys]],
    ['terminal_control', [...reception, acknowledge]],
    ['key_exchange', [importZoneKey]],
  ])
}

/** Takes the steps in order until one says that there is nothing more to find out. */
export async function walkFlow(flow: Flow, txn: Txn, context: Context): Promise<Next> {
  for (const step of flow) {
    const started = context.clock.monotonicMs()
    const outcome = step(txn, context)
    const next = typeof outcome === 'string' ? outcome : await outcome
    txn.took(step.name.replace('#', ''), context.clock.monotonicMs() - started)
    if (next !== 'next') return next
  }
  return 'answer'
}

/** Sign-off and echo of a terminal: nothing to do but to say yes. */
function acknowledge(txn: Txn, _context: Context): Next {
  txn.answer = { ...txn.answer, reason: 'approved' }
  return 'answer'
}
