/**
 * What a journal in memory holds as durable: the tables of migrations/, with the rules that
 * PostgreSQL enforces there written a second time, and the two acts of a transaction: read rows
 * into a group, write a decided group as a whole or not at all.
 *
 * Used by `memory.ts`; the simulation and tests look into it to compare books. It outlives the
 * journal on it, as a database outlives a process. It must never decide about a request: that is
 * acts.ts, the same code that runs on PostgreSQL. memory.test.ts holds both to one contract.
 */
import { byteaText } from './group.ts'
import type {
  AccountRef, CardImage, Group, GroupRequest, NewPosting, PostingImage, SafChange, TxnImage,
} from './group.ts'
import { EVENTS_PER_TXN_MAX } from './limits.ts'
import type {
  Card, IntentRequest, ReversalCause, SafState, StoredAnswer, TimelineEvent, TxnFacts, TxnState,
} from './port.ts'

/** What the database would have refused (0001-transactions.sql: SY001 to SY003, unique keys). */
export class ConstraintBroken extends Error {}

export interface StoredTxn {
  facts: TxnFacts
  image: TxnImage
  sent: IntentRequest | null
  events: TimelineEvent[]
}

export interface StoredAccount {
  id: number
  code: string
  currency: string
  debitsMinor: number
  creditsMinor: number
  floorMinor: number | null // null: a role
}

export interface StoredPosting extends PostingImage {
  txnId: string | null // null: an opening balance
  businessDate: string
  reverses: number | null
  postedAtMs: number
}

export interface StoredSaf {
  id: number
  destination: string
  cause: ReversalCause
  txnId: string
  token: string
  releasedMinor: number | null
  state: SafState
  attempts: number
  queuedAtMs: number
  nextAttemptAtMs: number
  reversalStan: string
  reversalTransmissionAt: string
  lastAnswer: string
  why: string
}

/** A card to put in, with the account behind it. */
export interface SeedCard extends Omit<Card, 'accountId'> {
  accountCode: string
  currency: string
  openingBalanceMinor: number
  floorMinor: number
  dailyCountMax: number | null
}

interface StoredDay {
  usedMinor: number
  usedCount: number
  version: number
}

/** 0001-transactions.sql, txn_guard. */
const LEGAL_MOVES: Readonly<Record<TxnState, readonly TxnState[]>> = {
  intent: ['approved', 'declined', 'timed_out', 'not_sent', 'reversed'],
  approved: ['reversed'],
  reversed_unseen: ['declined'],
  declined: [],
  timed_out: [],
  not_sent: [],
  reversed: [],
}

const FIRST_STATES: readonly TxnState[] = ['intent', 'approved', 'declined', 'reversed_unseen']
const ANSWERLESS: readonly TxnState[] = ['intent', 'reversed_unseen']

/** Facts of an image that never change (txn_guard, SY002). */
const FIXED = [
  'id', 'businessKey', 'bodyHash', 'route', 'destination', 'token', 'amountMinor', 'currency',
  'businessDate', 'reverseOf', 'reverseOutcome',
] as const satisfies ReadonlyArray<keyof TxnImage>

const FUNDING_ACCOUNT = 'funding:demo'

export class MemoryStore {
  readonly txns = new Map<string, StoredTxn>()
  readonly byKey = new Map<string, StoredTxn>()
  readonly openIntents = new Set<StoredTxn>()
  readonly accounts = new Map<number, StoredAccount>()
  readonly postings: StoredPosting[] = []
  readonly postingsByTxn = new Map<string, StoredPosting[]>()
  readonly cards = new Map<string, CardImage>()
  readonly days = new Map<string, StoredDay>()
  readonly safs: StoredSaf[] = [] // id is the place plus one
  readonly queued = new Map<string, Set<StoredSaf>>() // by destination, oldest first
  readonly numbers = new Map<string, number>()
  readonly keyBlocks = new Map<string, string>()
  commits = 0
  readonly #roles = new Map<string, StoredAccount>()
  readonly #reversalOf = new Set<string>() // transactions that have their one reversal
  readonly #undone = new Set<number>() // postings that were reversed

  /** Puts a card in and opens its account, as cards/seed.ts does. */
  seedCard(seed: SeedCard, businessDate: string): void {
    const { accountCode, currency, openingBalanceMinor, floorMinor, dailyCountMax, ...card } = seed
    let account = this.#roles.get(accountCode)
    if (account === undefined) {
      account = this.#open(accountCode, currency, floorMinor)
      this.#roles.set(accountCode, account)
      if (openingBalanceMinor > 0) this.#fund(account, openingBalanceMinor, businessDate)
    }
    const image: CardImage = {
      id: this.cards.size + 1,
      accountId: account.id,
      card: { ...card, accountId: String(account.id) },
      dailyCountMax,
      changed: false,
    }
    this.cards.set(byteaText(seed.panToken), image)
  }

  #fund(account: StoredAccount, amountMinor: number, businessDate: string): void {
    const funding = this.#role(FUNDING_ACCOUNT, account.currency)
    funding.debitsMinor += amountMinor
    account.creditsMinor += amountMinor
    this.postings.push({
      id: this.postings.length + 1,
      txnId: null,
      debitAccount: funding.id,
      creditAccount: account.id,
      amountMinor,
      currency: account.currency,
      businessDate,
      reverses: null,
      postedAtMs: 0,
    })
  }

  #open(code: string, currency: string, floorMinor: number | null): StoredAccount {
    const id = this.accounts.size + 1
    const account = { id, code, currency, debitsMinor: 0, creditsMinor: 0, floorMinor }
    this.accounts.set(id, account)
    return account
  }

  #role(code: string, currency: string): StoredAccount {
    const key = `${currency} ${code}`
    let account = this.#roles.get(key)
    if (account === undefined) {
      account = this.#open(code, currency, null)
      this.#roles.set(key, account)
    }
    return account
  }

  // Reading

  /** Copies of the rows that a request needs into the group: what READ_SQL reads and locks. */
  fill(group: Group, requests: Iterable<GroupRequest>): void {
    const dates = new Set<string>()
    const originals = new Set<string>()
    for (const request of requests) {
      if (request.act === 'authorize') {
        const { facts } = request.request
        dates.add(facts.businessDate)
        this.#takeKey(group, facts.businessKey)
        this.#takeCard(group, byteaText(facts.panToken))
      } else if (request.act === 'intend') this.#takeKey(group, request.request.facts.businessKey)
      else if (request.act === 'conclude') this.#takeId(group, request.request.txnId)
      else if (request.act === 'note') this.#takeId(group, request.txnId)
      else if (request.act === 'reverse') {
        this.#takeKey(group, request.request.facts.businessKey)
        this.#takeKey(group, request.request.originalKey)
        originals.add(request.request.originalKey)
      }
    }
    for (const image of group.txnById.values()) {
      if (image.route === 'on_us') this.#takeCard(group, image.token)
      dates.add(image.businessDate)
      if (image.state === 'approved' && originals.has(image.businessKey)) {
        const list = this.postingsByTxn.get(image.id)
        if (list !== undefined) group.postings.set(image.id, list.map((one) => ({ ...one })))
      }
    }
    for (const card of group.cards.values()) {
      for (const date of dates) {
        const day = this.days.get(`${card.id} ${date}`)
        if (day !== undefined) Object.assign(group.day(card.id, date), day)
      }
    }
  }

  #takeKey(group: Group, key: string): void {
    const found = this.byKey.get(key)
    if (found !== undefined) this.#take(group, found)
  }

  #takeId(group: Group, id: string): void {
    const found = this.txns.get(id)
    if (found !== undefined) this.#take(group, found)
  }

  #take(group: Group, found: StoredTxn): void {
    if (group.txnById.has(found.image.id)) return
    const image = { ...found.image, changed: false, inserted: false, newEvents: [] }
    group.txnById.set(image.id, image)
    group.txnByKey.set(image.businessKey, image)
  }

  #takeCard(group: Group, token: string): void {
    const owner = this.cards.get(token)
    if (owner === undefined || group.cards.has(token)) return
    group.cards.set(token, { ...owner, card: { ...owner.card }, changed: false })
    const account = this.accounts.get(owner.accountId)
    if (account === undefined || account.floorMinor === null || group.accounts.has(account.id)) {
      return
    }
    const balanceMinor = account.creditsMinor - account.debitsMinor
    const { id, currency, floorMinor } = account
    group.accounts.set(id, { id, currency, balanceMinor, floorMinor })
  }

  // Writing

  /**
   * Writes a decided group.
   *
   * @throws ConstraintBroken, with nothing written, when PostgreSQL would refuse a row
   */
  apply(group: Group): void {
    for (const row of group.newTxns) this.#checkInsert(row.image, row.sent)
    for (const image of group.touched) this.#checkUpdate(image)
    for (const refill of group.refills) this.#checkRefill(refill.placeholderId)
    const postings = group.newPostings.map((posting) => this.#resolved(posting, group.nowMs))
    this.#checkPostings(postings)
    this.commits++
    this.#refill(group)
    for (const { image, facts, sent } of group.newTxns) {
      this.#insert({ image, facts, sent, events: image.newEvents })
    }
    for (const image of group.touched) this.#update(image)
    for (const posting of postings) this.#post(posting)
    for (const card of group.cards.values()) {
      if (card.changed) this.cards.set(byteaText(card.card.panToken), card)
    }
    for (const day of group.days.values()) {
      if (!day.changed) continue
      const { cardId, businessDate, usedMinor, usedCount } = day
      this.days.set(`${cardId} ${businessDate}`, { usedMinor, usedCount, version: day.version + 1 })
    }
    for (const saf of group.newSafs) this.queue(saf, group.nowMs)
    for (const change of group.safChanges.values()) this.#changeSaf(change)
  }

  #checkInsert(image: TxnImage, sent: IntentRequest | null): void {
    if (this.byKey.has(image.businessKey)) throw new ConstraintBroken('txn_business_key_key')
    if (this.txns.has(image.id)) throw new ConstraintBroken('txn_pkey')
    if (!FIRST_STATES.includes(image.state)) {
      throw new ConstraintBroken(`a transaction cannot begin as ${image.state}`)
    }
    if (image.state === 'intent' && (image.destination === '' || sent === null)) {
      throw new ConstraintBroken('an intent without destination')
    }
    if (image.answer === null && !ANSWERLESS.includes(image.state)) {
      throw new ConstraintBroken('an outcome without answer')
    }
  }

  #checkUpdate(image: TxnImage): void {
    const before = this.txns.get(image.id)?.image
    // The id of a late original is new; its row is the remembered key, checked as refill.
    if (before === undefined) return
    if (before.state !== image.state && !LEGAL_MOVES[before.state].includes(image.state)) {
      throw new ConstraintBroken(`a transaction cannot go from ${before.state} to ${image.state}`)
    }
    for (const name of FIXED) {
      if (before[name] !== image[name]) throw new ConstraintBroken(`${name} does not change`)
    }
    if (before.answer !== null && !sameAnswer(before.answer, image.answer)) {
      throw new ConstraintBroken('an answer does not change')
    }
    if (before.releasedMinor !== null && before.releasedMinor !== image.releasedMinor) {
      throw new ConstraintBroken('what was released does not change')
    }
  }

  #checkRefill(placeholderId: string): void {
    const before = this.txns.get(placeholderId)
    if (before?.image.state !== 'reversed_unseen') {
      throw new ConstraintBroken('only a remembered key takes a late original')
    }
  }

  #resolved(posting: NewPosting, nowMs: number): StoredPosting {
    const number = (ref: AccountRef): number => {
      return typeof ref === 'number' ? ref : this.#role(ref.code, posting.currency).id
    }
    const { txnId, amountMinor, currency, businessDate, reverses } = posting
    return {
      id: 0,
      txnId,
      debitAccount: number(posting.debit),
      creditAccount: number(posting.credit),
      amountMinor,
      currency,
      businessDate,
      reverses,
      postedAtMs: nowMs,
    }
  }

  #checkPostings(postings: readonly StoredPosting[]): void {
    const moved = new Map<number, number>()
    const undone = new Set<number>()
    for (const posting of postings) {
      const { debitAccount, creditAccount, amountMinor, reverses } = posting
      if (debitAccount === creditAccount) throw new ConstraintBroken('debit and credit are one')
      if (!(amountMinor > 0)) throw new ConstraintBroken('an amount is positive')
      for (const id of [debitAccount, creditAccount]) {
        if (this.accounts.get(id)?.currency !== posting.currency) {
          throw new ConstraintBroken('no account in that currency')
        }
      }
      moved.set(debitAccount, (moved.get(debitAccount) ?? 0) - amountMinor)
      moved.set(creditAccount, (moved.get(creditAccount) ?? 0) + amountMinor)
      if (reverses === null) continue
      const origin = this.postings[reverses - 1]
      const mirrors = origin !== undefined && origin.currency === posting.currency
        && amountMinor <= origin.amountMinor && creditAccount === origin.debitAccount
        && origin.reverses === null
      if (!mirrors) throw new ConstraintBroken('a reversal does not mirror its posting')
      if (this.#undone.has(reverses) || undone.has(reverses)) {
        throw new ConstraintBroken('posting_reverses_key')
      }
      undone.add(reverses)
    }
    for (const [id, by] of moved) {
      const account = this.accounts.get(id)
      if (account === undefined || account.floorMinor === null) continue
      if (account.creditsMinor - account.debitsMinor + by < account.floorMinor) {
        throw new ConstraintBroken('account_floor')
      }
    }
  }

  #insert(row: StoredTxn): void {
    row.image.inserted = false
    this.txns.set(row.image.id, row)
    this.byKey.set(row.image.businessKey, row)
    if (row.image.state === 'intent') this.openIntents.add(row)
  }

  #update(image: TxnImage): void {
    const row = this.txns.get(image.id)
    if (row === undefined) return
    row.image = image
    if (row.events.length < EVENTS_PER_TXN_MAX) row.events.push(...image.newEvents)
    image.newEvents = []
    if (image.state !== 'intent') this.openIntents.delete(row)
  }

  #refill(group: Group): void {
    for (const { placeholderId, facts, answer, events } of group.refills) {
      const row = this.txns.get(placeholderId)
      if (row === undefined) continue
      const refused = { atMs: group.nowMs, what: 'original.refused', detail: 'reversed_before' }
      this.txns.delete(placeholderId)
      row.facts = facts
      row.image = {
        ...row.image,
        id: facts.id,
        bodyHash: facts.bodyHash,
        state: 'declined',
        route: facts.route,
        token: byteaText(facts.panToken),
        amountMinor: facts.amountMinor,
        currency: facts.currency,
        businessDate: facts.businessDate,
        answer,
      }
      row.events.push(...events, refused)
      this.txns.set(facts.id, row)
    }
  }

  #post(posting: StoredPosting): void {
    posting.id = this.postings.length + 1
    this.postings.push(posting)
    const { txnId, reverses, debitAccount, creditAccount, amountMinor } = posting
    if (txnId !== null) {
      const list = this.postingsByTxn.get(txnId)
      if (list === undefined) this.postingsByTxn.set(txnId, [posting])
      else list.push(posting)
    }
    if (reverses !== null) this.#undone.add(reverses)
    const debit = this.accounts.get(debitAccount)
    const credit = this.accounts.get(creditAccount)
    if (debit !== undefined) debit.debitsMinor += amountMinor
    if (credit !== undefined) credit.creditsMinor += amountMinor
  }

  /** One reversal per transaction: a second one changes nothing (saf_one_reversal). */
  queue(
    saf: Pick<StoredSaf, 'destination' | 'cause' | 'txnId' | 'token' | 'releasedMinor'>,
    nowMs: number,
  ): void {
    if (this.#reversalOf.has(saf.txnId)) return
    this.#reversalOf.add(saf.txnId)
    const row: StoredSaf = {
      ...saf,
      id: this.safs.length + 1,
      state: 'queued',
      attempts: 0,
      queuedAtMs: nowMs,
      nextAttemptAtMs: nowMs,
      reversalStan: '',
      reversalTransmissionAt: '',
      lastAnswer: '',
      why: '',
    }
    this.safs.push(row)
    const queued = this.queued.get(saf.destination)
    if (queued === undefined) this.queued.set(saf.destination, new Set([row]))
    else queued.add(row)
  }

  #changeSaf(change: SafChange): void {
    const row = this.safs[Number(change.id) - 1]
    if (row === undefined) return
    if (row.state !== 'queued' && !(row.state === 'parked' && change.op === 'acknowledge')) return
    row.reversalStan ||= change.stan
    row.reversalTransmissionAt ||= change.transmissionAt
    if (change.op === 'attempt') {
      row.attempts++
      row.nextAttemptAtMs = change.nextAttemptAtMs
      return
    }
    row.state = change.op === 'acknowledge' ? 'acknowledged' : 'parked'
    row.lastAnswer = change.lastAnswer
    if (change.op === 'park') row.why = change.why
    this.queued.get(row.destination)?.delete(row)
  }

  // Looking

  /** Balance of an account: credits minus debits; NaN when there is none. */
  balance(code: string, currency: string): number {
    for (const account of this.accounts.values()) {
      if (account.code === code && account.currency === currency) {
        return account.creditsMinor - account.debitsMinor
      }
    }
    return Number.NaN
  }

  /** What is wrong with the totals; empty is right (view ledger_imbalance). */
  imbalance(): string[] {
    const proved = new Map<number, { debit: number; credit: number }>()
    for (const id of this.accounts.keys()) proved.set(id, { debit: 0, credit: 0 })
    for (const { debitAccount, creditAccount, amountMinor } of this.postings) {
      const debit = proved.get(debitAccount)
      const credit = proved.get(creditAccount)
      if (debit !== undefined) debit.debit += amountMinor
      if (credit !== undefined) credit.credit += amountMinor
    }
    const wrong: string[] = []
    const sums = new Map<string, number>()
    for (const account of this.accounts.values()) {
      const { id, code, currency, debitsMinor, creditsMinor } = account
      const sum = proved.get(id)
      if (sum?.debit !== debitsMinor || sum.credit !== creditsMinor) wrong.push(`account ${code}`)
      sums.set(currency, (sums.get(currency) ?? 0) + debitsMinor - creditsMinor)
    }
    for (const [currency, excess] of sums) if (excess !== 0) wrong.push(`currency ${currency}`)
    return wrong
  }
}

function sameAnswer(a: StoredAnswer, b: StoredAnswer | null): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b)
}
