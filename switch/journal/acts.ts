/**
 * Runs one request against a group: the table of contents of everything the journal does under a
 * lock.
 *
 * Called by `postgres.ts` for each request of a batch in the order of arrival. It must never do
 * I/O; see group.ts.
 */
import type { Random } from '../runtime/random.ts'
import { changeSaf, conclude, note, reverse } from './act-outcome.ts'
import { authorize, intend } from './act-request.ts'
import type { Defer, Group, GroupRequest } from './group.ts'
import type { AuthorizeResult, IntentResult, OutcomeResult, ReverseResult } from './port.ts'

export type GroupResult = AuthorizeResult | IntentResult | OutcomeResult | ReverseResult | undefined

/** Chance and identifiers that acts need. */
export interface ActTools {
  random: Random
  newId(): string // ULID
}

/**
 * Applies one request to the group's rows.
 *
 * @returns its result, or DEFER when it must wait for the next group; then nothing was changed
 * @throws RefusedRequest when it can never be done, StaleRead when the group must be read again
 */
export function act(group: Group, request: GroupRequest, tools: ActTools): GroupResult | Defer {
  switch (request.act) {
    case 'authorize':
      return authorize(group, request.request, tools.random)
    case 'intend':
      return intend(group, request.request)
    case 'conclude':
      return conclude(group, request.request)
    case 'reverse':
      return reverse(group, request.request, tools.newId)
    case 'note':
      note(group, request.txnId, request.events)
      return undefined
    case 'saf':
      return changeSaf(group, request.change)
  }
}

/**
 * Refuses what the caller must not ask, before it takes a place in the queue.
 *
 * @throws RangeError naming the argument, never its content
 */
export function checkRequest(request: GroupRequest): void {
  if (request.act === 'conclude') {
    const { state, reversal, movements } = request.request
    if (state === 'timed_out' && reversal === null) {
      throw new RangeError('timed_out needs a reversal')
    }
    if (state === 'approved' && reversal !== null) {
      throw new RangeError('an approved outcome has no reversal: use reverse()')
    }
    if (state !== 'approved' && movements.length > 0) {
      throw new RangeError('only an approved outcome has movements')
    }
    for (const movement of movements) {
      checkAmount(movement.amountMinor)
      checkAccountCode(movement.debit)
      checkAccountCode(movement.credit)
    }
  }
  if (request.act === 'authorize') {
    const { counterAccount } = request.request
    checkAccountCode(counterAccount)
    if (counterAccount.startsWith('customer:')) throw new RangeError('counterAccount is no role')
  }
  if (request.act === 'intend' && request.request.destination === '') {
    throw new RangeError('an intent needs a destination')
  }
  if (request.act === 'reverse') {
    const { facts, originalKey, reversedAmountMinor } = request.request
    if (facts.businessKey === originalKey) throw new RangeError('a reversal cannot undo itself')
    if (reversedAmountMinor !== null) checkAmount(reversedAmountMinor)
  }
}

/** A role or customer account: a word, a colon, and a name; at most 64 characters. */
const ACCOUNT_CODE = /^[a-z_]+:.{1,62}$/

function checkAccountCode(code: string): void {
  if (!ACCOUNT_CODE.test(code) || code.length > 64) throw new RangeError('not an account code')
}

function checkAmount(amountMinor: number): void {
  if (!Number.isSafeInteger(amountMinor) || amountMinor <= 0) {
    throw new RangeError('an amount is a positive whole number of minor units')
  }
}
