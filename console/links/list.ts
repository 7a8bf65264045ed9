// What `switchyard links list` prints: each configured link and what the running switch counts of
// it. The numbers come from /metrics of the operations pages, as for any monitoring system.
// Called by console/commands/links.ts; needs neither database nor token.
import { environment, loadConfig } from '../../config/load.ts'
import type { EndpointConfig, LinkConfig } from '../../config/schema.ts'
import { CommandFailed } from '../help.ts'
import { table } from '../txn/table.ts'

/** One link as the running switch sees it. */
export interface LinkState {
  name: string
  role: string
  dialect: string
  listen: string | null
  connect: string | null
  connected: boolean
  ready: boolean
  waiting: number // requests that wait for an answer
  stored: number // rows of store-and-forward not acknowledged
}

/** An answer of the pages takes milliseconds; a switch that needs longer has other troubles. */
const ANSWER_MS_MAX = 3_000

/** @throws CommandFailed when no switch answers at operations_http */
export async function linkStates(configPath: string | undefined): Promise<LinkState[]> {
  const { config } = loadConfig(configPath ?? environment().configPath)
  const samples = parseMetrics(await fetchMetrics(config.operations_http))
  return config.links.map((link) => stateOf(link, samples))
}

/** The states as a table for people. */
export function renderLinks(states: readonly LinkState[]): string {
  const head = ['link', 'role', 'dialect', 'listen', 'connect', 'state', 'waiting', 'stored']
  const body = states.map((one) => [
    one.name,
    one.role,
    one.dialect,
    one.listen ?? '-',
    one.connect ?? '-',
    one.ready ? 'ready' : one.connected ? 'connected' : 'down',
    String(one.waiting),
    String(one.stored),
  ])
  return table(head, body)
}

/** Name, labels and value of a line; a time stamp after it is left out. */
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (-?[0-9][0-9.e+-]*|[+-]?Inf|NaN)( |$)/
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g

/** One line of the Prometheus text format. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/**
 * Samples of a page in the Prometheus text format 0.0.4; comments and lines that are no sample are
 * left out.
 */
export function parseMetrics(text: string): Sample[] {
  const samples: Sample[] = []
  for (const line of text.split('\n')) {
    const match = SAMPLE.exec(line)
    if (match === null) continue
    const labels: Record<string, string> = {}
    for (const [, key, value] of (match[2] ?? '').matchAll(LABEL)) {
      if (key !== undefined && value !== undefined) labels[key] = value
    }
    samples.push({ name: match[1] ?? '', labels, value: Number(match[3]) })
  }
  return samples
}

function stateOf(link: LinkConfig, samples: readonly Sample[]): LinkState {
  const sum = (name: string, label: string): number =>
    samples
      .filter((one) => one.name === `switchyard_${name}` && one.labels[label] === link.name)
      .reduce((total, { value }) => total + value, 0)
  return {
    name: link.name,
    role: link.role,
    dialect: link.dialect,
    listen: endpointText(link.listen),
    connect: endpointText(link.role === 'scheme' ? link.connect : null),
    connected: sum('link_up', 'link') > 0,
    ready: sum('link_ready', 'link') > 0,
    waiting: sum('pending_requests', 'link'),
    stored: sum('saf_rows', 'route'),
  }
}

async function fetchMetrics(at: EndpointConfig): Promise<string> {
  const where = endpointText(at) ?? ''
  try {
    const signal = AbortSignal.timeout(ANSWER_MS_MAX)
    const response = await fetch(`http://${where}/metrics`, { signal })
    if (!response.ok) throw new Error(`status ${response.status}`)
    return await response.text()
  } catch {
    const next = 'start it (npm start), or name its configuration (--config)'
    throw new CommandFailed(`no switch answers at ${where}`, next)
  }
}

function endpointText(at: EndpointConfig | null): string | null {
  if (at === null) return null
  return at.host.includes(':') ? `[${at.host}]:${at.port}` : `${at.host}:${at.port}`
}
