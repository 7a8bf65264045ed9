// What the values of a configuration say about each other: a table of rules, each a name and a
// check. Called by config/load.ts after the form was checked; a rule sees only the elements whose
// form is right, so that one mistake is reported once. To add a rule, add a row, and a planted
// mistake to rules.test.ts. No rule may quote a value that could be a secret.
import { suggestion } from './explain.ts'
import { ANSWER_MARGIN_MS } from './defaults.ts'
import type { Path } from './source.ts'
import type {
  EndpointConfig,
  IssuerConfig,
  LinkConfig,
  RouteConfig,
  SchemeLinkConfig,
  SwitchConfig,
  TerminalConfig,
} from './schema.ts'

/** One list element of right form, and where it stands. */
export interface Item<T> {
  readonly at: Path
  readonly value: T
}

/** What the rules look at. Single sections are null when their form is wrong. */
export interface Draft {
  readonly links: ReadonlyArray<Item<LinkConfig>>
  readonly terminals: ReadonlyArray<Item<TerminalConfig>>
  readonly issuers: ReadonlyArray<Item<IssuerConfig>>
  readonly routes: ReadonlyArray<Item<RouteConfig>>
  readonly demonstration: boolean | null
  readonly timeZone: string | null
  readonly operationsHttp: SwitchConfig['operations_http'] | null
  readonly token: SwitchConfig['token'] | null
  readonly reversals: SwitchConfig['reversals'] | null
  /** Every link name with its role, also of links whose form is wrong otherwise. */
  readonly linkRoles: ReadonlyMap<string, string>
  readonly dialects: readonly string[]
  /** True when every issuer and route has the right form, so that what is missing is missing. */
  readonly cardsWhole: boolean
}

export type Report = (at: Path, what: string, todo: string) => void

export interface Rule {
  readonly name: string
  check(draft: Draft, report: Report): void
}

export const RULES: readonly Rule[] = [
  { name: 'link names are unique', check: linkNamesUnique },
  { name: 'a port is used once', check: portsUsedOnce },
  { name: 'dialects exist', check: dialectsExist },
  { name: 'a scheme link has an address', check: schemeLinkHasAddress },
  { name: 'keys can be exchanged where they are required', check: keysCanBeExchanged },
  { name: 'cleartext beyond this machine is acknowledged', check: cleartextAcknowledged },
  { name: 'least is not above most', check: leastBelowMost },
  { name: 'answers come within the terminals wait', check: answersInTime },
  { name: 'terminals are on terminals links', check: terminalsOnLinks },
  { name: 'terminal ids are unique per link', check: terminalIdsUnique },
  { name: 'routes have one prefix or range', check: routesHaveOneKey },
  { name: 'routes lead to scheme links', check: routesLeadSomewhere },
  { name: 'links may reach scheme links', check: linksMayReach },
  { name: 'routes do not collide', check: routesDoNotCollide },
  { name: 'own cards are routed on us', check: ownCardsOnUs },
  { name: 'demonstration keys need a demonstration', check: demonstrationKeys },
  { name: 'one key has one purpose', check: oneKeyOnePurpose },
  { name: 'the token PIN is in a file', check: pinInFile },
  { name: 'the time zone exists', check: timeZoneExists },
]

/** Runs all rules. */
export function checkRules(draft: Draft, report: Report): void {
  for (const rule of RULES) rule.check(draft, report)
}

function linkNamesUnique(draft: Draft, report: Report): void {
  const seen = new Set<string>()
  for (const { at, value } of draft.links) {
    if (value.name === 'on_us') report([...at, 'name'], 'on_us is no name for a link', 'rename it')
    if (seen.has(value.name)) {
      report([...at, 'name'], `a second link is named ${value.name}`, 'give each link its own name')
    }
    seen.add(value.name)
  }
}

function portsUsedOnce(draft: Draft, report: Report): void {
  const taken: Array<EndpointConfig & { by: string }> = []
  const claim = (at: Path, endpoint: EndpointConfig, by: string): void => {
    const clash = taken.find((other) => sameSocket(other, endpoint))
    if (clash !== undefined) {
      const what = `port ${endpoint.port} is used twice: here and by ${clash.by}`
      report(at, what, 'choose another port')
    }
    taken.push({ ...endpoint, by })
  }
  if (draft.operationsHttp !== null) {
    claim(['operations_http', 'port'], draft.operationsHttp, 'operations_http')
  }
  for (const { at, value } of draft.links) {
    if (value.listen !== null) claim([...at, 'listen'], value.listen, `link ${value.name}`)
  }
  for (const { at, value } of draft.links) {
    const connect = value.role === 'scheme' ? value.connect : null
    const own = connect === null ? undefined : taken.find((other) => sameSocket(other, connect))
    if (own === undefined) continue
    const what = `the link would dial the port on which ${own.by} listens`
    report([...at, 'connect'], what, "write the peer's address")
  }
}

function sameSocket(a: EndpointConfig, b: EndpointConfig): boolean {
  const anywhere = (host: string): boolean => host === '0.0.0.0' || host === '::'
  const same = loopback(a.host) ? loopback(b.host) && sameLoopback(a, b) : a.host === b.host
  return a.port === b.port && (same || anywhere(a.host) || anywhere(b.host))
}

function sameLoopback(a: EndpointConfig, b: EndpointConfig): boolean {
  return a.host === b.host || a.host === 'localhost' || b.host === 'localhost'
}

function loopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(host)
}

function dialectsExist(draft: Draft, report: Report): void {
  for (const { at, value } of draft.links) {
    if (draft.dialects.includes(value.dialect)) continue
    const near = suggestion(value.dialect, draft.dialects)
    const todo = `write one of ${draft.dialects.join(', ')}${near}`
    report([...at, 'dialect'], 'there is no dialect of this name', todo)
  }
}

function* schemeLinks(draft: Draft): Generator<Item<SchemeLinkConfig>> {
  for (const { at, value } of draft.links) if (value.role === 'scheme') yield { at, value }
}

function schemeLinkHasAddress(draft: Draft, report: Report): void {
  for (const { at, value } of schemeLinks(draft)) {
    if (value.listen === null && value.connect === null) {
      report(at, `link ${value.name} neither listens nor dials`, 'add listen: or connect:')
    }
  }
}

function keysCanBeExchanged(draft: Draft, report: Report): void {
  for (const { at, value } of schemeLinks(draft)) {
    if (value.keys_required && value.key_exchange_key === null) {
      const todo = 'add key_exchange_key: NAME, or keys_required: false'
      report(at, `link ${value.name} requires working keys but has no key for their exchange`, todo)
    }
  }
}

function cleartextAcknowledged(draft: Draft, report: Report): void {
  for (const { at, value } of draft.links) {
    if (value.acknowledge_cleartext === 'leased-line') continue
    for (const key of ['listen', 'connect'] as const) {
      const endpoint = key === 'listen' ? value.listen : connectOf(value)
      if (endpoint === null || loopback(endpoint.host)) continue
      const what = `link ${value.name} would carry card data in clear beyond this machine`
      const todo = 'use a loopback address, or add acknowledge_cleartext: leased-line'
      report([...at, key], what, todo)
    }
  }
  const http = draft.operationsHttp
  if (http !== null && !loopback(http.host)) {
    const todo = 'use 127.0.0.1 and let a reverse proxy with TLS publish it'
    report(['operations_http', 'host'], 'the operations pages would leave this machine', todo)
  }
}

function connectOf(link: LinkConfig): EndpointConfig | null {
  return link.role === 'scheme' ? link.connect : null
}

function leastBelowMost(draft: Draft, report: Report): void {
  for (const { at, value } of schemeLinks(draft)) {
    if (value.reconnect_min_ms > value.reconnect_max_ms) {
      const todo = `write at most ${value.reconnect_max_ms}, or raise reconnect_max_ms`
      report([...at, 'reconnect_min_ms'], 'reconnect_min_ms is above reconnect_max_ms', todo)
    }
  }
  const reversals = draft.reversals
  if (reversals !== null && reversals.retry_first_ms > reversals.retry_max_ms) {
    const todo = `write at most ${reversals.retry_max_ms}, or raise retry_max_ms`
    report(['reversals', 'retry_first_ms'], 'retry_first_ms is above retry_max_ms', todo)
  }
}

function answersInTime(draft: Draft, report: Report): void {
  const waits = draft.links.flatMap(({ value }) => (value.role === 'terminals' ? [value] : []))
  const shortest = waits.toSorted((a, b) => a.terminal_wait_ms - b.terminal_wait_ms)[0]
  if (shortest === undefined) return
  const most = shortest.terminal_wait_ms - ANSWER_MARGIN_MS
  for (const { at, value } of schemeLinks(draft)) {
    if (value.reply_timeout_ms <= most) continue
    const what = `terminals of ${shortest.name} wait ${shortest.terminal_wait_ms} ms only`
    const fix = `write at most ${Math.max(0, most)}: ${ANSWER_MARGIN_MS} ms are for the way back`
    const todo = `${fix}; or raise terminal_wait_ms of ${shortest.name} if they do wait longer`
    report([...at, 'reply_timeout_ms'], what, todo)
  }
}

function terminalsOnLinks(draft: Draft, report: Report): void {
  const names = linkNames(draft, (role) => role === 'terminals')
  for (const { at, value } of draft.terminals) {
    const role = draft.linkRoles.get(value.link)
    if (role === 'terminals') continue
    const what = role === undefined ? 'there is no link of this name' : 'this is no terminals link'
    const todo = `write one of ${names.join(', ')}${suggestion(value.link, names)}`
    report([...at, 'link'], what, todo)
  }
}

function linkNames(draft: Draft, ofRole: (role: string) => boolean): string[] {
  return [...draft.linkRoles].filter(([, role]) => ofRole(role)).map(([name]) => name)
}

function terminalIdsUnique(draft: Draft, report: Report): void {
  const seen = new Set<string>()
  for (const { at, value } of draft.terminals) {
    const key = `${value.link} ${value.id}`
    if (seen.has(key)) {
      report([...at, 'id'], `a second terminal ${value.id} is on link ${value.link}`, 'remove one')
    }
    seen.add(key)
  }
}

function routesHaveOneKey(draft: Draft, report: Report): void {
  for (const { at, value } of draft.routes) {
    if ((value.prefix === null) === (value.range === null)) {
      const what = value.prefix === null ? 'the route names no cards' : 'prefix and range together'
      report(at, what, 'write either prefix: or range:')
    } else if (value.range !== null && intervalOf(value) === null) {
      const todo = 'write FIRST-LAST, both with the same number of digits, FIRST not above LAST'
      report([...at, 'range'], 'the range has no order or two lengths', todo)
    }
  }
}

function routesLeadSomewhere(draft: Draft, report: Report): void {
  const names = linkNames(draft, (role) => role !== 'terminals')
  const check = (at: Path, to: string, words: readonly string[]): void => {
    if (words.includes(to)) return
    const terminals = draft.linkRoles.has(to)
    const what = terminals ? 'terminals issue no cards' : 'there is no link of this name'
    report(at, what, `write one of ${words.join(', ')}${suggestion(to, words)}`)
  }
  for (const { at, value } of draft.routes) {
    check([...at, 'to'], value.to, ['on_us', ...names])
    for (const [i, alternate] of value.alternates.entries()) {
      check([...at, 'alternates', i], alternate, names)
      if (alternate === value.to) {
        report([...at, 'alternates', i], 'the alternate is the route itself', 'remove it')
      }
    }
    if (value.to === 'on_us' && value.alternates.length > 0) {
      report([...at, 'alternates'], 'own cards have no alternate route', 'remove alternates')
    }
  }
}

function linksMayReach(draft: Draft, report: Report): void {
  const names = linkNames(draft, (role) => role !== 'terminals')
  for (const { at, value } of draft.links) {
    for (const [i, link] of value.may_reach.entries()) {
      if (link === 'any' || names.includes(link)) continue
      const todo = `write any, or some of ${names.join(', ')}${suggestion(link, names)}`
      report([...at, 'may_reach', i], 'there is no scheme link of this name', todo)
    }
  }
}

/** First and last number a route covers, as 15 digits. */
interface Interval {
  readonly first: string
  readonly last: string
  readonly at: Path
  readonly to: string
  readonly text: string
}

const INTERVAL_DIGITS = 15

/** @returns null when the route has no single well-formed prefix or range */
function intervalOf(route: RouteConfig, at: Path = []): Interval | null {
  const [low, high] = route.range?.split('-') ?? [route.prefix, route.prefix]
  if (low === undefined || high === undefined || low === null || high === null) return null
  if (low.length !== high.length || low > high) return null
  const first = low.padEnd(INTERVAL_DIGITS, '0')
  const last = high.padEnd(INTERVAL_DIGITS, '9')
  return { first, last, at, to: route.to, text: route.range ?? route.prefix ?? '' }
}

/** Intervals from left to right, the wider of two that begin together first. */
function sortedIntervals(draft: Draft): Interval[] {
  const found = draft.routes.flatMap(({ at, value }) => intervalOf(value, at) ?? [])
  return found.sort((a, b) => compare(a.first, b.first) || compare(b.last, a.last))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Nested ranges are meant (the narrower wins); equal or half-overlapping ones are ambiguous. */
function routesDoNotCollide(draft: Draft, report: Report): void {
  const open: Interval[] = []
  for (const next of sortedIntervals(draft)) {
    while (open.length > 0 && (open.at(-1)?.last ?? '') < next.first) open.pop()
    const around = open.at(-1)
    if (around !== undefined && around.first === next.first && around.last === next.last) {
      const what = `${next.text} is routed twice: to ${around.to} and to ${next.to}`
      report(later(around, next).at, what, 'keep one of the two routes')
    } else if (around !== undefined && next.last > around.last) {
      const what = `${next.text} and ${around.text} overlap, and neither lies within the other`
      report(later(around, next).at, what, 'cut one of the ranges where the other begins')
    }
    open.push(next)
  }
}

function later(a: Interval, b: Interval): Interval {
  return Number(a.at[1]) > Number(b.at[1]) ? a : b
}

function ownCardsOnUs(draft: Draft, report: Report): void {
  if (!draft.cardsWhole) return
  const intervals = sortedIntervals(draft)
  const bins = draft.issuers.flatMap(({ at, value }) =>
    value.bins.map((bin, i) => ({ bin, at: [...at, 'bins', i] })),
  )
  const seen = new Set<string>()
  for (const { bin, at } of bins) {
    if (seen.has(bin)) report(at, `prefix ${bin} belongs to two issuers`, 'keep one')
    seen.add(bin)
    const first = bin.padEnd(INTERVAL_DIGITS, '0')
    const last = bin.padEnd(INTERVAL_DIGITS, '9')
    const route = intervals.findLast((one) => one.first <= first && one.last >= last)
    if (route?.to === 'on_us') continue
    const goes = route === undefined ? 'are not routed' : `would go to ${route.to}`
    report(at, `own cards ${bin} ${goes}`, `add the route { prefix: "${bin}", to: on_us }`)
  }
  for (const { at, to, first, last, text } of intervals) {
    if (to !== 'on_us') continue
    const covered = bins.some(({ bin }) => first.startsWith(bin) && last.startsWith(bin))
    if (!covered) {
      const todo = 'add the prefix to bins of an issuer, or route it to a link'
      report([...at, 'to'], `no issuer of ours has cards ${text}`, todo)
    }
  }
}

/** Every key name with its purpose: equal names must have equal purposes. */
function* keyNames(draft: Draft): Generator<{ at: Path; key: string; purpose: string }> {
  for (const { at, value } of schemeLinks(draft)) {
    const key = value.key_exchange_key
    if (key !== null) {
      yield { at: [...at, 'key_exchange_key'], key, purpose: `key exchange on ${value.name}` }
    }
  }
  for (const { at, value } of draft.terminals) {
    const purpose = `master key of terminal ${value.id} on ${value.link}`
    yield { at: [...at, 'key'], key: value.key, purpose }
  }
  for (const { at, value } of draft.issuers) {
    yield { at: [...at, 'pvk'], key: value.pvk, purpose: 'PIN verification' }
    yield { at: [...at, 'cvk'], key: value.cvk, purpose: 'card verification values' }
    yield { at: [...at, 'imk_ac'], key: value.imk_ac, purpose: 'application cryptograms' }
  }
}

function demonstrationKeys(draft: Draft, report: Report): void {
  if (draft.demonstration !== false) return
  for (const { at, key } of keyNames(draft)) {
    if (!key.startsWith('demo.')) continue
    const todo = 'name a key of your own; demonstration: true is for test cards only'
    report(at, `${key} is a demonstration key, and this is no demonstration`, todo)
  }
}

/** PCI PIN requirement 19: a key is used for one purpose only; 20: a terminal's key is its own. */
function oneKeyOnePurpose(draft: Draft, report: Report): void {
  const known = new Map<string, string>()
  for (const { at, key, purpose } of keyNames(draft)) {
    const before = known.get(key)
    if (before === undefined) known.set(key, purpose)
    else if (before !== purpose) {
      report(at, `${key} is used twice: for ${before} and for ${purpose}`, 'name another key')
    }
  }
}

function pinInFile(draft: Draft, report: Report): void {
  const file = draft.token?.pin_file
  if (file === undefined || !/^[0-9]+$/.test(file)) return
  const todo = 'write the PIN into a file (mode 0600) and its path here'
  report(['token', 'pin_file'], 'this looks like the PIN itself, not like a file', todo)
}

function timeZoneExists(draft: Draft, report: Report): void {
  if (draft.timeZone === null) return
  try {
    new Intl.DateTimeFormat('en', { timeZone: draft.timeZone })
  } catch {
    const todo = 'write an IANA name, e.g. Asia/Shanghai or UTC'
    report(['time_zone'], 'there is no time zone of this name', todo)
  }
}
