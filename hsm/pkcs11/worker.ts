// Entry of an HSM worker thread, started by piscina for pkcs11-hsm.ts. One TokenWorker per thread;
// a task is a batch of calls. Nothing here logs: whatever goes wrong is an outcome.

import { workerData } from 'node:worker_threads'

import { systemClock } from '../../switch/runtime/clock.ts'
import { TokenWorker } from './token-worker.ts'
import type { Barrier, CallsReply, OpenReply, WorkerSetup, WorkerTask } from './wire.ts'

/** A worker waits this long for the others to get their task of the same kind, ms. */
const BARRIER_WAIT_MS = 1_000

const worker = new TokenWorker(workerData as WorkerSetup, () => systemClock.monotonicMs())

export default function run(task: WorkerTask): OpenReply | CallsReply | null {
  switch (task.kind) {
    case 'calls':
      return task.calls.map((call) => worker.call(call))
    case 'open': {
      const reply = worker.open()
      arrive(task.barrier)
      return reply
    }
    case 'close':
      worker.close()
      arrive(task.barrier)
      return null
  }
}

/**
 * Keeps this thread busy until every worker has arrived, so that the pool cannot give one worker
 * two of these tasks and another none.
 */
function arrive(barrier: Barrier): void {
  const { arrived, workers } = barrier
  let count = Atomics.add(arrived, 0, 1) + 1
  if (count >= workers) {
    Atomics.notify(arrived, 0)
    return
  }
  const until = systemClock.monotonicMs() + BARRIER_WAIT_MS
  while (count < workers) {
    const left = until - systemClock.monotonicMs()
    if (left <= 0) return
    Atomics.wait(arrived, 0, count, left)
    count = Atomics.load(arrived, 0)
  }
}
