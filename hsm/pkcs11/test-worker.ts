// The HSM worker of the tests: carries calls out as worker.ts does, but a CVV check with one of the
// service codes below ends the thread or holds it. Loaded by pkcs11-hsm.test.ts only.

import type { CallsReply, OpenReply, WorkerTask } from './wire.ts'
import run from './worker.ts'

/** Service code that ends the thread in the middle of a batch. */
export const CRASH = '998'

/** Service code that holds the thread for HANG_MS. */
export const HANG = '997'
export const HANG_MS = 600

export default function testRun(task: WorkerTask): OpenReply | CallsReply | null {
  if (task.kind === 'calls') {
    for (const call of task.calls) {
      if (call.verb !== 'verifyCvv') continue
      if (call.request.serviceCode === CRASH) process.exit(1)
      if (call.request.serviceCode === HANG) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, HANG_MS)
      }
    }
  }
  return run(task)
}
