// `txn show` and `saf list` as commands, over a journal in a real PostgreSQL.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import {
  authorizeRequest,
  intentRequest,
  newJournal,
  startServer,
} from '../../switch/journal/database-for-tests.ts'

const LAUNCHER = fileURLToPath(new URL('../../bin/switchyard.js', import.meta.url))

const server = await startServer()
t.teardown(() => server.stop())
const { url, journal } = await newJournal(server)
const own = authorizeRequest({ rrn: '632600000011', panMasked: '622300******1376' })
await journal.authorize({
  ...own,
  events: [{ atMs: own.facts.receivedAt + 2, what: 'token.verify_mac', detail: 'ok' }],
})
const visa = intentRequest({ rrn: '632600000022', panMasked: '400000******2113' })
await journal.intend(visa)
await journal.conclude({
  txnId: visa.facts.id,
  state: 'timed_out',
  answer: {
    reason: 'timeout',
    authCode: '',
    settlementDate: '',
    networkRrn: '632600000022',
    iccHex: '',
    balanceMinor: null,
    balanceCurrency: '',
  },
  movements: [],
  reversal: 'timeout',
  events: [{ atMs: visa.facts.receivedAt + 8_000, what: 'leg.timed_out', detail: 'visa' }],
})
await journal.close()

function switchyard(...args: string[]) {
  const env = {
    ...process.env,
    SWITCHYARD_DATABASE_URL: url,
    SWITCHYARD_HOME: t.testdirName,
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [LAUNCHER, ...args], {
    encoding: 'utf8',
    env,
  })
  return { status, stdout, stderr }
}

t.test('an approved purchase shows its token call and its posting', async (t) => {
  const { status, stdout, stderr } = switchyard('txn', 'show', '632600000011')
  t.equal(status, 0, stderr)
  t.match(stdout, /^RRN 632600000011 {2}purchase, approved\n/)
  t.match(stdout, /card +622300\*{6}1376\n/)
  t.match(stdout, /\+2 ms {2}token\.verify_mac +ok\n/)
  t.match(stdout, /Postings\n.* CNY +customer:1 -> merchant:M00000000000001/)
})

t.test('a time-out shows its timer and the reversal that waits', async (t) => {
  const { stdout } = switchyard('txn', 'show', '632600000022')
  t.match(stdout, /^RRN 632600000022 {2}purchase, timed out\n/)
  t.match(stdout, /\+8000 ms {2}leg\.timed_out +visa\n/)
  t.match(stdout, /Store and forward\n.*queued +reversal to visa, 0 attempts, next /)
  const saf = switchyard('saf', 'list')
  t.match(saf.stdout, /visa +reversal +queued +0 .*632600000022/)
  const json = JSON.parse(switchyard('saf', 'list', '--json').stdout) as Array<{ rrn: string }>
  t.same(json.map(({ rrn }) => rrn), ['632600000022'])
})

t.test('the JSON form has the same facts', async (t) => {
  const { stdout } = switchyard('txn', 'show', '632600000022', '--json')
  const [history] = JSON.parse(stdout) as Array<{ state: string; facts: object }>
  t.equal(history?.state, 'timed_out')
  t.notMatch(Object.keys(history?.facts ?? {}).join(' '), /panToken|panSealed/)
})

t.test('an unknown RRN is exit 1, text that is none is exit 2, both in one line', async (t) => {
  const unknown = switchyard('txn', 'show', '999999999999')
  t.equal(unknown.status, 1)
  t.match(unknown.stderr, /^switchyard: no transaction has RRN 999999999999; [^\n]*\n$/)
  const wrong = switchyard('txn', 'show', 'six-six-six-six')
  t.equal(wrong.status, 2)
  t.match(wrong.stderr, /^switchyard: an RRN has up to 12 letters or digits[^\n]*\n$/)
})
