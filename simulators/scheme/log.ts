// How a simulator tells what it does: one event with a few harmless details. Values are response
// codes, STANs, check values and causes; never a PAN, PIN block, track or key.

export type SimulatorLog = (
  event: string,
  detail?: Readonly<Record<string, string | number | boolean>>,
) => void
