// A peer's book: once-only entries and reversals, and what a kill leaves of its file.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { VirtualClock } from '../switch/runtime/virtual-clock.ts'
import { BookFile, type BookRequest, IssuerBook } from './book.ts'
import { cardNamed } from './cards.ts'

const SECRET = Uint8Array.of(7, 7, 7)
const clock = new VirtualClock()

function place(test: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'switchyard-book-'))
  test.teardown(() => rmSync(directory, { recursive: true }))
  return join(directory, 'deep', 'visa.jsonl')
}

function open(path: string | null): IssuerBook {
  return new IssuerBook(new BookFile(path, 'visa', SECRET, clock))
}

const PAN = cardNamed('visa-1').pan
const APPROVED = { code: '00', auth: '123456', reference: '123456789012345' }

function request(key: string, amountMinor: number, pan = PAN): BookRequest {
  return {
    key,
    mti: '0100',
    stan: '000001',
    rrn: `r${key}`,
    pan,
    amountMinor,
    currency: '156',
    debit: true,
  }
}

void t.test('an original is reversed once, however often it is asked', (test) => {
  const book = open(null)
  book.enter(request('a', 500), APPROVED)
  test.equal(book.balanceMinor(PAN, 2_000n), 1_500n)
  test.equal(book.reverse('a', PAN, {}), 'reversed')
  test.equal(book.reverse('a', PAN, {}), 'already')
  test.equal(book.reverse('a', PAN, {}), 'already')
  test.equal(book.balanceMinor(PAN, 2_000n), 2_000n)
  test.match(book.totals(), { approved: 1, reversed: 1, reversedMinor: 500n, netMinor: 0n })
  test.end()
})

void t.test('the reversal of a declined request moves nothing', (test) => {
  const book = open(null)
  book.enter(request('a', 500), { code: '51', auth: '', reference: '' })
  test.equal(book.reverse('a', PAN, {}), 'reversed')
  test.equal(book.balanceMinor(PAN, 2_000n), 2_000n)
  test.match(book.totals(), { approved: 0, declined: 1, netMinor: 0n })
  test.end()
})

void t.test('a reversal that names another card reverses nothing', (test) => {
  const book = open(null)
  book.enter(request('a', 500), APPROVED)
  test.equal(book.reverse('a', cardNamed('visa-2').pan, {}), 'unknown')
  test.equal(book.totals().netMinor, 500n)
  test.end()
})

void t.test('a reversal before its original is remembered', (test) => {
  const book = open(null)
  test.equal(book.reverse('late', PAN, { rrn: 'x' }), 'unknown')
  test.equal(book.wasReversedUnseen('late'), true)
  test.equal(book.wasReversedUnseen('other'), false)
  test.equal(book.stateOfRrn('x'), 'reversal_unmatched')
  test.end()
})

void t.test('the same key cannot be entered twice', (test) => {
  const book = open(null)
  book.enter(request('a', 500), APPROVED)
  test.throws(() => book.enter(request('a', 500), APPROVED), /once/)
  test.strictSame(book.earlierVerdict('a')?.auth, '123456')
  test.end()
})

void t.test('a book opened again knows what it answered, reversed and refused', (test) => {
  const path = place(test)
  const first = open(path)
  first.enter(request('a', 500), APPROVED)
  first.enter(request('b', 700), { ...APPROVED, reference: '999999999999999' })
  first.reverse('a', PAN, { rrn: 'ra' })
  first.reverse('late', PAN, {})
  const again = open(path)
  test.strictSame(again.totals(), first.totals())
  test.equal(again.balanceMinor(PAN, 2_000n), 1_300n)
  test.equal(again.reverse('a', PAN, {}), 'already', 'still once after a restart')
  test.equal(again.wasReversedUnseen('late'), true)
  test.equal(again.keyOfReference('999999999999999'), 'b')
  test.equal(again.stateOfRrn('ra'), 'reversed')
  test.end()
})

void t.test(
  'a last line that a kill cut off is dropped, and the next line stands alone',
  (test) => {
    const path = place(test)
    open(path).enter(request('a', 500), APPROVED)
    appendFileSync(path, '{"at":"2026-01-01T00:00:00.000Z","event":"appr')
    const again = open(path)
    test.equal(again.totals().approved, 1)
    again.enter(request('b', 1), APPROVED)
    test.equal(open(path).totals().approved, 2)
    test.end()
  },
)

void t.test('the file holds masked PANs and is readable by its owner only', (test) => {
  const path = place(test)
  open(path).enter(request('a', 500), APPROVED)
  const text = readFileSync(path, 'utf8')
  test.notMatch(text, PAN)
  test.match(text, '400000******2113')
  test.equal(statSync(path).mode & 0o777, 0o600)
  test.end()
})

void t.test('the card reference depends on the secret and on the PAN', (test) => {
  const one = new BookFile(null, 'visa', SECRET, clock)
  const other = new BookFile(null, 'visa', Uint8Array.of(1), clock)
  test.equal(one.cardRef(PAN), one.cardRef(PAN))
  test.not(one.cardRef(PAN), other.cardRef(PAN))
  test.not(one.cardRef(PAN), one.cardRef(cardNamed('visa-2').pan))
  test.end()
})
