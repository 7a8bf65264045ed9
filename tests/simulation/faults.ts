/** Makes the planned faults of a run happen at their times. */
import type { SimConnection } from './net.ts'
import type { PlannedFault } from './options.ts'
import type { World } from './world.ts'

/** Puts every planned fault on the clock. */
export function arrange(world: World): void {
  for (const fault of world.options.faults) {
    world.clock.after(fault.atMs, () => {
      if (world.faulty) happen(world, fault)
    })
  }
}

function happen(world: World, fault: PlannedFault): void {
  const { clock } = world
  const { kind, forMs, choice } = fault
  const after = (fn: () => void): void => {
    clock.after(forMs, fn)
  }
  switch (kind) {
    case 'switch_crash':
      return world.killSwitch(1 + (choice % 5_000))
    case 'switch_restart':
      return void world.restartSwitch()
    case 'crash_at_commit':
      world.crashAtCommit = choice % 2 === 0 ? 'yes' : 'no'
      return
    case 'crash_at_write':
      world.crashAtWrite = choice % 2 === 0 ? 'sent' : 'unsent'
      world.crashAtWriteAfter = choice % 17
      return
    case 'db_stall':
      world.stallUntilMs = clock.monotonicMs() + forMs
      return
    case 'db_gone':
      world.databaseGone = true
      return after(() => {
        world.databaseGone = false
      })
    case 'db_unknown':
      world.unknownCommits = 1 + (choice % 6)
      return
    case 'token_outage':
      world.tokenAway = true
      return after(() => {
        world.tokenAway = false
      })
    case 'scheme_down':
      return world[fault.scheme].down(forMs)
    case 'sign_off':
      return world[fault.scheme].signOff()
    case 'new_keys':
      return world[fault.scheme].renewKeys()
    case 'clock_step':
      world.skewMs += fault.size
      return
    case 'terminal_cut':
      for (const terminal of world.terminals) if (choice % 3 !== 0) terminal.cut()
      return
    case 'line_cut':
    case 'line_half_open':
    case 'line_stall':
      return line(world, fault)
  }
}

/** Something happens to the lines between the switch and one network. */
function line(world: World, fault: PlannedFault): void {
  const { clock, net } = world
  const address = world.addresses[fault.scheme]
  const name = `${address.host}:${address.port}`
  const all = [...(world.process?.host.connections ?? [])]
  const mine = all.filter((one) => one.remote === name || one.peer?.host.name === fault.scheme)
  if (fault.kind === 'line_cut') {
    net.closedTo.set(name, fault.choice % 2 === 0 ? 'refused' : 'silent')
    clock.after(fault.forMs, () => net.closedTo.delete(name))
    for (const one of mine) net.reset(one, 'reset')
    return
  }
  const ends = mine.flatMap((one) => [one, one.peer]).filter((one) => one !== null)
  if (fault.kind === 'line_stall') return hold(ends, clock.monotonicMs() + fault.forMs)
  for (const one of ends) one.silent = true
  clock.after(fault.forMs, () => {
    // Whoever is left finds out at last that nobody is there.
    for (const one of ends) if (one.open) net.reset(one, 'timed_out')
  })
}

/** Nothing arrives before an instant, then everything at once. */
function hold(ends: readonly SimConnection[], untilMs: number): void {
  for (const one of ends) one.heldUntilMs = untilMs
}
