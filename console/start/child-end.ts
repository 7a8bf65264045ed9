// Loaded before anything else in every child of the supervisor (child.ts): ends the child when the
// supervisor is gone. The kernel closes the IPC channel whatever killed the supervisor, so this is
// the one sign that cannot be missed. A command that listens for it drains by itself; any other is
// told to end as if the supervisor had asked. It must never keep the child alive by itself.

/** Longer than any drain of ours (DRAIN_MS_MAX of switch/limits.ts); ms. */
const END_MS_MAX = 20_000

process.once('disconnect', () => {
  // A timer of this kind does not keep the process alive, which one of the Clock port would.
  const late = AbortSignal.timeout(END_MS_MAX)
  late.addEventListener('abort', () => process.kill(process.pid, 'SIGKILL'))
  if (process.listenerCount('disconnect') === 0) process.kill(process.pid, 'SIGTERM')
})
process.channel?.unref()
