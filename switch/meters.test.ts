// What /metrics shows: names, closed labels, and numbers that were counted.
import t from 'tap'
import { CounterGrid, DURATION_BUCKETS, DurationGrid } from './meter-grid.ts'
import { Meters } from './meters.ts'
import { Registry } from 'prom-client'

const settings = { version: '9.9.9', links: ['visa', 'pos'], faultKinds: ['not_digits'] }

async function lines(meters: { registry: Registry }): Promise<string[]> {
  return (await meters.registry.metrics()).split('\n').filter((line) => /^[^#]/.test(line))
}

t.test('each event is counted under its labels', async (t) => {
  const meters = new Meters(settings)
  meters.transactionCompleted('pos', 'purchase', 'approved', 'approved', 0.004)
  meters.transactionCompleted('pos', 'purchase', 'declined', 'wrong_pin', 0.02)
  meters.transactionCompleted('pos', 'purchase', 'declined', 'wrong_pin', 70)
  meters.messageSeen('visa', 'out', '0100')
  meters.messageSeen('visa', 'in', '9999')
  meters.decodeFaulted('pos', 'not_digits')
  meters.timedOut('visa')
  meters.lateReply('visa')
  meters.unmatchedReply('visa')
  meters.unmappedCode('visa')
  meters.reversalQueued('visa', 'timeout')
  meters.safAttempted('visa', 'acknowledged')
  meters.linkChanged('visa', 'ready')
  meters.hsmCalled('verify_pin', 'pin_mismatch', 0.0004)
  meters.journalCommitted(12, 0.003)
  meters.failed()
  const shown = await lines(meters)
  for (const line of [
    'switchyard_transactions_total{link="pos",kind="purchase",outcome="approved"} 1',
    'switchyard_transactions_total{link="pos",kind="purchase",outcome="declined"} 2',
    'switchyard_declines_total{link="pos",reason="wrong_pin"} 2',
    'switchyard_transaction_duration_seconds_bucket{link="pos",kind="purchase",le="0.0025"} 0',
    'switchyard_transaction_duration_seconds_bucket{link="pos",kind="purchase",le="0.005"} 1',
    'switchyard_transaction_duration_seconds_bucket{link="pos",kind="purchase",le="60"} 2',
    'switchyard_transaction_duration_seconds_bucket{link="pos",kind="purchase",le="+Inf"} 3',
    'switchyard_transaction_duration_seconds_sum{link="pos",kind="purchase"} 70.024',
    'switchyard_transaction_duration_seconds_count{link="pos",kind="purchase"} 3',
    'switchyard_messages_total{link="visa",direction="out",mti="0100"} 1',
    'switchyard_messages_total{link="visa",direction="in",mti="other"} 1',
    'switchyard_decode_faults_total{link="pos",kind="not_digits"} 1',
    'switchyard_timeouts_total{route="visa"} 1',
    'switchyard_timeouts_total{route="on_us"} 0',
    'switchyard_late_replies_total{link="visa"} 1',
    'switchyard_unmatched_replies_total{link="visa"} 1',
    'switchyard_unmapped_codes_total{link="visa"} 1',
    'switchyard_reversals_total{route="visa",cause="timeout"} 1',
    'switchyard_saf_attempts_total{route="visa",outcome="acknowledged"} 1',
    'switchyard_link_changes_total{link="visa",state="ready"} 1',
    'switchyard_hsm_operations_total{op="verify_pin",outcome="pin_mismatch"} 1',
    'switchyard_hsm_operation_duration_seconds_bucket{op="verify_pin",le="0.0005"} 1',
    'switchyard_journal_commits_total 1',
    'switchyard_journal_acts_total 12',
    'switchyard_failures_total 1',
    'switchyard_build_info{version="9.9.9"} 1',
  ]) {
    t.ok(shown.includes(line), line)
  }
  meters.timedOut('visa')
  t.ok((await lines(meters)).includes('switchyard_timeouts_total{route="visa"} 2'), 'read again')
})

t.test('gauges are read from their owners, and not shown without one', async (t) => {
  const meters = new Meters(settings)
  t.notMatch((await lines(meters)).join('\n'), /link_up|in_flight|saf_rows|hsm_|lag|imbalance/)
  meters.setSources({
    links: () => [
      { link: 'visa', state: 'ready', pending: 3 },
      { link: 'pos', state: 'connected', pending: 0 },
      { link: '4999990000000005', state: 'ready', pending: 9 },
    ],
    token: () => ({ sessions: 4, busy: 1, queued: 7 }),
    storeAndForward: async () => [
      { route: 'visa', state: 'queued', rows: 5, oldestAgeSeconds: 61.5 },
    ],
    ledgerImbalance: async () => [{ currency: '156', minor: 0 }],
    transactionsInFlight: () => 2,
    loopLagSeconds: () => 0.25,
  })
  const shown = await lines(meters)
  for (const line of [
    'switchyard_link_up{link="visa"} 1',
    'switchyard_link_ready{link="pos"} 0',
    'switchyard_pending_requests{link="visa"} 3',
    'switchyard_hsm_sessions{state="busy"} 1',
    'switchyard_hsm_sessions{state="idle"} 3',
    'switchyard_hsm_queued 7',
    'switchyard_saf_rows{route="visa",state="queued"} 5',
    'switchyard_saf_oldest_age_seconds{route="visa",state="queued"} 61.5',
    'switchyard_ledger_imbalance_minor{currency="156"} 0',
    'switchyard_transactions_in_flight 2',
    'switchyard_event_loop_lag_seconds 0.25',
  ]) {
    t.ok(shown.includes(line), line)
  }
  t.notMatch(shown.join('\n'), '4999990000000005', 'a link that is not configured is no label')
})

t.test('whatever is counted, labels stay inside their closed sets', async (t) => {
  const meters = new Meters(settings)
  const pan = '4999990000000005'
  meters.transactionCompleted(pan, pan, 'declined', pan, 1)
  meters.messageSeen(pan, 'in', pan)
  meters.hsmCalled(pan, pan, 1)
  meters.timedOut(pan)
  const text = await meters.registry.metrics()
  t.notMatch(text, pan)
  t.match(text, 'switchyard_transactions_total{link="other",kind="other",outcome="declined"} 1')
  t.match(text, 'switchyard_timeouts_total{route="other"} 1')
})

t.test('names and help follow the conventions of Prometheus', async (t) => {
  const meters = new Meters(settings)
  for (const { name, help, type } of await meters.registry.getMetricsAsJSON()) {
    t.match(name, /^switchyard_[a-z_]+$/)
    t.ok(help.endsWith('.') && help.length > 5, `${name}: ${help}`)
    t.equal(name.endsWith('_total'), String(type) === 'counter', `${name} is a ${type}`)
  }
})

t.test('three labels do not mix their cells', async (t) => {
  const registry = new Registry()
  const label = (name: string, ...values: string[]): { name: string; values: string[] } => ({
    name,
    values,
  })
  const grid = new CounterGrid(registry, 'x_total', 'X.', [
    label('a', 'a1', 'a2'),
    label('b', 'b1', 'b2', 'b3'),
    label('c', 'c1'),
  ])
  let amount = 0
  const expected: string[] = []
  for (const a of ['a1', 'a2', 'other']) {
    for (const b of ['b1', 'b2', 'b3', 'other']) {
      for (const c of ['c1', 'other']) {
        grid.add(++amount, a, b, c)
        expected.push(`x_total{a="${a}",b="${b}",c="${c}"} ${amount}`)
      }
    }
  }
  t.same(await lines({ registry }), expected)
})

t.test('a duration on a border counts in the bucket that ends there', async (t) => {
  const registry = new Registry()
  const grid = new DurationGrid(registry, 'd_seconds', 'D.', [])
  for (const border of DURATION_BUCKETS) grid.observe(border)
  const shown = await lines({ registry })
  DURATION_BUCKETS.forEach((border, i) => {
    t.ok(shown.includes(`d_seconds_bucket{le="${border}"} ${i + 1}`), String(border))
  })
})
