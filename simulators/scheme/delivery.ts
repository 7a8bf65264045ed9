// How an answer leaves a scheme simulator when a fault rule spoils it. Used by visa.ts and cups.ts.
// The decision and its entry in the book have been made before; only the delivery differs here.

import type { FaultAction } from '../faults.ts'
import type { Clock } from '../../switch/runtime/clock.ts'

/** What can be done with an answer. `spoilt` has a wrong MAC where the dialect has one. */
export interface Delivery {
  send(spoilt: boolean): void
  drop(): void
}

/** Delivers one answer as the rule says; `silent` and `deaf` deliver nothing. */
export function deliver(action: FaultAction, clock: Clock, delivery: Delivery): void {
  switch (action.kind) {
    case 'answer':
    case 'decline':
      delivery.send(false)
      return
    case 'delay':
    case 'late':
      clock.after(action.ms, () => delivery.send(false))
      return
    case 'repeat':
      for (let copy = 0; copy <= action.count; copy++) delivery.send(false)
      return
    case 'bad_mac':
      delivery.send(true)
      return
    case 'drop':
      delivery.drop()
      return
    case 'silent':
    case 'deaf':
      return
  }
}
