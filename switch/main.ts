/**
 * Wires the running switch: ports, links, pipeline, store-and-forward, operations pages. Nothing
 * imports this file but the command `switchyard run`.
 *
 * Order of start: database and migrations, token, what was in doubt, then links: nothing financial
 * passes before recovery is done. Order of stop: no new work, what is in flight ends, links sign
 * off, token and database close.
 */

import { existsSync, readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import type { SwitchConfig, LinkConfig } from '../config/schema.ts'
import { loadDialectSpec } from '../config/dialects.ts'
import { parseMeaning } from '../config/meaning.ts'
import { KeyCache } from '../hsm/key-directory.ts'
import {
  findModule, SOFTHSM_PATHS, softoknParameters, SOFTOKN_PATHS,
} from '../hsm/pkcs11/module-path.ts'
import { useSoftHsmConfiguration } from '../hsm/pkcs11/environment.ts'
import { Pkcs11Hsm } from '../hsm/pkcs11/pkcs11-hsm.ts'
import type { Hsm } from '../hsm/port.ts'
import { startOps, type Ops, type ProbeResult } from '../console/ops/http.ts'
import { buildRoutes } from '../routing/choose.ts'
import { compileDialect, type Dialect } from './codec/dialect.ts'
import { framingFor } from './framing/framings.ts'
import type { Journal } from './journal/port.ts'
import { PostgresJournal } from './journal/postgres.ts'
import { FAULT_KINDS } from './codec/fault.ts'
import { createLink, type ConnectionObserver } from './link/link.ts'
import type { Link, LinkSettings } from './link/contract.ts'
import { tcpNet } from './link/tcp.ts'
import { DRAIN_MS_MAX } from './limits.ts'
import { Log } from './log/log.ts'
import { Meters } from './meters.ts'
import { Observation } from './observation.ts'
import { PanVault } from './pan-vault.ts'
import { MessageBuilder } from './pipeline/build-message.ts'
import { Calendar } from './pipeline/calendar.ts'
import {
  keyNames, terminalKey, type Context, type Issuer, type LinkProfile, type Terminal,
} from './pipeline/context.ts'
import { KeyOverlap, previousName } from './pipeline/key-overlap.ts'
import { Numbers } from './pipeline/numbers.ts'
import { readerOf, type IccForm, type Reader } from './pipeline/read-request.ts'
import { Pipeline } from './pipeline/run.ts'
import { SafDrain } from './pipeline/saf.ts'
import { Unsettled } from './pipeline/unsettled.ts'
import { ZoneKeys } from './pipeline/zone-keys.ts'
import { systemClock } from './runtime/clock.ts'
import { crashPoint } from './runtime/crash-point.ts'
import { systemRandom } from './runtime/random.ts'

const VERSION = '0.1.0'

export interface SwitchOptions {
  config: SwitchConfig
  home: string // data directory
  databaseUrl: string
}

export interface RunningSwitch {
  stop(): Promise<void>
}

/** What cannot be had at start; the message is one line that says what to do. */
export class StartFailed extends Error {
  readonly code = 'start_failed'
}

/**
 * Starts the switch and resolves when every listening port is open. Rejects with one clear line.
 */
export async function startSwitch(options: SwitchOptions): Promise<RunningSwitch> {
  const { config } = options
  const undo: Array<() => Promise<void> | void> = []
  const stop = async (): Promise<void> => {
    while (undo.length > 0) await undo.pop()!()
  }
  try {
    const log = new Log({ node: config.node, level: config.log.level, clock: systemClock })
    undo.push(() => log.flush())
    const meters = new Meters({
      version: VERSION,
      links: config.links.map((link) => link.name),
      faultKinds: FAULT_KINDS,
    })
    const journal = new PostgresJournal({
      url: options.databaseUrl,
      clock: systemClock,
      random: systemRandom,
    })
    undo.push(() => journal.close())
    const keys = new KeyCache(journal)
    const hsm = await openToken(options, keys, meters)
    undo.push(() => hsm.close())
    crashPoint('start.after_token_open')
    const recovered = await journal.recover(systemClock.wallMs())
    crashPoint('start.after_recovery')
    if (recovered > 0) log.databaseChanged(true, `${recovered} intents in doubt are being reversed`)
    const wired = await wire(options, { journal, hsm, keys, log, meters })
    undo.push(() => wired.stop())
    crashPoint('start.after_wiring')
    await wired.start()
    return { stop }
  } catch (error) {
    await stop()
    throw error
  }
}

interface Ports {
  journal: Journal
  hsm: Hsm
  keys: KeyCache
  log: Log
  meters: Meters
}

async function openToken(options: SwitchOptions, keys: KeyCache, meters: Meters): Promise<Hsm> {
  const { token, demonstration } = options.config
  const configuration = join(options.home, 'tokens', 'softhsm2.conf')
  if (token.module === 'softhsm2' && existsSync(configuration)) {
    useSoftHsmConfiguration(configuration)
  }
  const candidates = token.module === 'nss' ? SOFTOKN_PATHS : SOFTHSM_PATHS
  const module = findModule(isAbsolute(token.module) ? token.module : undefined, candidates)
  if (!module) throw new StartFailed(`no PKCS#11 module ${token.module}; run scripts/setup.sh`)
  const prefix = demonstration ? 'demo.' : ''
  const nssDirectory = join(options.home, 'tokens', 'nss')
  return Pkcs11Hsm.open({
    address: {
      module,
      tokenLabel: token.label,
      pin: pinOf(options),
      ...(token.module === 'nss' ? { libraryParameters: softoknParameters(nssDirectory) } : {}),
    },
    directory: keys,
    clock: systemClock,
    kbpk: `${prefix}kbpk`,
    vault: `${prefix}vault`,
    demonstration,
    clearPinInWorker: token.clear_pin_in_worker === 'accepted',
    workers: token.workers,
    deadlineMs: token.call_timeout_ms,
    observe: (verb, outcome, elapsedMs) => meters.hsmCalled(verb, outcome, elapsedMs / 1000),
  })
}

function pinOf(options: SwitchOptions): string {
  const { pin_file } = options.config.token
  const path = isAbsolute(pin_file) ? pin_file : join(options.home, pin_file)
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    throw new StartFailed(`cannot read the token PIN file ${path}; see token.pin_file`)
  }
}

/** Everything above the ports. `start` opens the links and pages, `stop` drains. */
async function wire(
  options: SwitchOptions,
  ports: Ports,
): Promise<{ start(): Promise<void>; stop(): Promise<void> }> {
  const { config } = options
  const { journal, hsm, keys, log, meters } = ports
  const secrets = await hsm.vaultKeys()
  if (secrets.outcome !== 'ok') {
    throw new StartFailed(`the token gives no vault keys (${secrets.outcome})`)
  }
  const observation = new Observation(log, meters)
  const numbers = new Numbers(journal, (error) => observation.failed('numbers', error))
  const names = config.links.map((link) => `stan.${link.name}`)
  await numbers.prepare(['rrn', 'batch', ...names])
  const profiles = new Map(config.links.map((link) => [link.name, profileOf(config, link)]))
  const links = new Map<string, Link>()
  const drains = new Map<string, SafDrain>()
  const unsettled = new Unsettled()
  const known = async (name: string): Promise<boolean> => (await journal.keyBlock(name)) !== null
  const zoneKeys = new ZoneKeys(systemClock, profiles, known)
  const overlap = new KeyOverlap(systemClock)
  const keepPrevious = async (name: string): Promise<void> => {
    const before = name.startsWith('zone.') ? await keys.find(name) : null
    if (before === null) return
    await journal.putKeyBlock(previousName(name), before, '', '')
    keys.put(previousName(name), before)
    overlap.replaced(name)
  }
  const context: Context = {
    clock: systemClock,
    random: systemRandom,
    journal,
    hsm,
    vault: new PanVault(secrets.value, systemRandom),
    numbers,
    calendar: new Calendar(
      systemClock, config.time_zone, config.business_date.cutover_local_time,
    ),
    routes: buildRoutes(config.routes),
    links,
    profiles,
    terminals: terminalsOf(config),
    issuerOf: issuerFinder(config),
    overlap,
    observer: observation,
    keepKey: async (name, block, kcv, usage) => {
      const kcvHex = Buffer.from(kcv).toString('hex').toUpperCase()
      await keepPrevious(name)
      crashPoint('key.after_previous_kept')
      await journal.putKeyBlock(name, block, kcvHex, usage)
      crashPoint('key.after_stored')
      keys.put(name, block)
      observation.keyInForce(name, kcvHex)
      for (const link of links.values()) {
        const zone = [keyNames.zonePin(link.settings.name), keyNames.zoneMac(link.settings.name)]
        if (zone.includes(name)) zoneKeys.delivered(link, name)
      }
    },
    wakeSaf: (destination) => drains.get(destination)?.wake(),
    unsettled: (txn) => {
      if (!unsettled.add(txn)) log.faultCaught('unsettled_full', new Error('settled at next start'))
    },
  }
  const speech = speechOf(config, profiles)
  const pipeline = new Pipeline({
    context,
    builders: speech.builders,
    readers: speech.readers,
    linkChanged: (link, from, to, cause) => {
      observation.linkChanged(link.settings.name, from, to, cause)
      zoneKeys.linkChanged(link, to)
    },
    malformed: (link, fault) => observation.malformed(link.settings.name, fault),
  })
  makeLinks(config, { links, drains, speech, pipeline, context, log })
  return lifeOf(config, { ports, links, drains, pipeline, unsettled, context })
}

interface Speech {
  dialects: ReadonlyMap<string, Dialect>
  builders: ReadonlyMap<string, MessageBuilder>
  readers: ReadonlyMap<string, Reader>
}

/** How the dialect writes chip data: as its field 55 is declared. */
function iccFormOf(spec: ReturnType<typeof loadDialectSpec>): IccForm {
  const field = spec.fields[55]
  if (field?.shape === 'visa-datasets') return 'visa_dataset'
  return field?.kind === 'b' ? 'tlv' : 'hex_text'
}

/** What each link speaks: dialect compiled once per name, builder and reader per link. */
function speechOf(config: SwitchConfig, profiles: ReadonlyMap<string, LinkProfile>): Speech {
  const dialects = new Map<string, Dialect>()
  const builders = new Map<string, MessageBuilder>()
  const readers = new Map<string, Reader>()
  for (const link of config.links) {
    const spec = loadDialectSpec(link.dialect)
    const dialect = dialects.get(link.dialect) ?? compileDialect(spec)
    dialects.set(link.dialect, dialect)
    const meaning = parseMeaning(link.dialect, spec.meaning)
    const profile = profiles.get(link.name) ?? profileOf(config, link)
    builders.set(link.name, new MessageBuilder(dialect, meaning, profile))
    readers.set(link.name, readerOf(meaning, iccFormOf(spec)))
  }
  return { dialects, builders, readers }
}

interface LinkParts {
  links: Map<string, Link>
  drains: Map<string, SafDrain>
  speech: Speech
  pipeline: Pipeline
  context: Context
  log: Log
}

function makeLinks(config: SwitchConfig, parts: LinkParts): void {
  const { links, drains, speech, pipeline, context, log } = parts
  const connections: ConnectionObserver = {
    connectionOpened: (link, id, remote) => log.connectionOpened(link.settings.name, id, remote),
    connectionClosed: (link, id, remote, cause) => {
      log.connectionClosed(link.settings.name, id, remote, cause)
    },
  }
  const net = tcpNet(systemClock)
  for (const link of config.links) {
    const builder = speech.builders.get(link.name)
    if (!builder) continue
    const settings = linkSettings(config, link, builder)
    const made = createLink(settings, pipeline, {
      net,
      clock: systemClock,
      random: systemRandom,
      timeZone: config.time_zone,
      nextStan: () => context.numbers.take(`stan.${link.name}`) ?? '000000',
      observer: connections,
    })
    links.set(link.name, made)
    if (link.role !== 'scheme') continue
    const { reversals } = config
    drains.set(
      link.name,
      new SafDrain(made, builder, context, {
        retryFirstMs: reversals.retry_first_ms,
        retryMaxMs: reversals.retry_max_ms,
        attemptsMax: reversals.attempts_max,
        window: reversals.window,
      }),
    )
  }
}

/** Bounds that only a scheme link has; a link of terminals sends no requests of its own. */
const NO_REQUESTS = {
  peer_institution: '',
  sign_on: false,
  keys_required: false,
  connect: null,
  pending_max: 1,
  network_timeout_ms: 1_000,
  echo_idle_ms: 3_600_000,
  echo_misses_max: 1,
  reconnect_min_ms: 1_000,
  reconnect_max_ms: 1_000,
} as const

function linkSettings(
  config: SwitchConfig,
  link: LinkConfig,
  builder: MessageBuilder,
): LinkSettings {
  const own = link.role === 'scheme' ? link : NO_REQUESTS
  return {
    name: link.name,
    role: link.role,
    dialect: builder.dialect,
    meaning: builder.meaning,
    framing: framingFor(link.framing),
    listen: link.listen,
    connect: own.connect,
    signOn: own.sign_on,
    keysRequired: own.keys_required,
    institution: link.institution ?? config.institution,
    peerInstitution: own.peer_institution,
    frameBytesMax: link.frame_bytes_max,
    connectionsMax: link.connections_max,
    pendingMax: own.pending_max,
    echoIdleMs: own.echo_idle_ms,
    echoMissesMax: own.echo_misses_max,
    networkTimeoutMs: own.network_timeout_ms,
    firstByteTimeoutMs: link.first_byte_timeout_ms,
    frameTimeoutMs: link.frame_timeout_ms,
    reconnectMinMs: own.reconnect_min_ms,
    reconnectMaxMs: own.reconnect_max_ms,
    writeBufferBytesMax: link.write_buffer_bytes_max,
  }
}

function profileOf(config: SwitchConfig, link: LinkConfig): LinkProfile {
  const scheme = link.role === 'scheme'
  return {
    institution: link.institution ?? config.institution,
    pinKey: scheme ? keyNames.zonePin(link.name) : '',
    macKey: scheme ? keyNames.zoneMac(link.name) : '',
    pinFormat: link.pin_format,
    macRequired: link.mac === 'required' && meaningHasMac(link.dialect),
    keyExchangeKey: scheme ? (link.key_exchange_key ?? '') : '',
    replyTimeoutMs: scheme ? link.reply_timeout_ms : 0,
    terminalWaitMs: scheme ? 0 : link.terminal_wait_ms,
    mayReach: link.may_reach,
  }
}

function meaningHasMac(dialect: string): boolean {
  return parseMeaning(dialect, loadDialectSpec(dialect).meaning).mac !== undefined
}

function terminalsOf(config: SwitchConfig): ReadonlyMap<string, Terminal> {
  const terminals = new Map<string, Terminal>()
  for (const terminal of config.terminals) {
    terminals.set(terminalKey(terminal.link, terminal.id), terminal)
  }
  return terminals
}

/** Longest matching BIN of our own ranges. */
function issuerFinder(config: SwitchConfig): (pan: string) => Issuer | null {
  const rows: Array<{ bin: string; issuer: Issuer }> = []
  for (const issuer of config.issuers) {
    const { currency, pvk, cvk, imk_ac: imkAc, cryptogram_scheme: cryptogramScheme } = issuer
    for (const bin of issuer.bins) {
      rows.push({ bin, issuer: { currency, pvk, cvk, imkAc, cryptogramScheme } })
    }
  }
  rows.sort((a, b) => b.bin.length - a.bin.length)
  return (pan) => rows.find((row) => pan.startsWith(row.bin))?.issuer ?? null
}

interface LifeParts {
  ports: Ports
  links: ReadonlyMap<string, Link>
  drains: ReadonlyMap<string, SafDrain>
  pipeline: Pipeline
  unsettled: Unsettled
  context: Context
}

/** Start and stop of everything that has a life of its own. */
function lifeOf(
  config: SwitchConfig,
  parts: LifeParts,
): { start(): Promise<void>; stop(): Promise<void> } {
  const { ports, links, drains, pipeline, unsettled, context } = parts
  const { log, meters, hsm, journal } = ports
  let ops: Ops | null = null
  return {
    async start(): Promise<void> {
      ops = await startOps({
        host: config.operations_http.host,
        port: config.operations_http.port,
        registry: meters.registry,
        probes: {
          database: async () => told(await journal.healthy(), 'reachable', 'not reachable'),
          token: () => told(hsm.status().ready, 'ready', 'not ready'),
          links: () => linksProbe(links),
        },
      })
      meters.setSources({
        links: () => [...links.values()].map(gaugesOf),
        transactionsInFlight: () => pipeline.inFlight(),
      })
      unsettled.start(context)
      for (const drain of drains.values()) drain.start()
      for (const link of links.values()) await link.start()
      crashPoint('start.after_links_open')
      log.switchStarted(VERSION, links.size)
    },
    async stop(): Promise<void> {
      ops?.drain()
      log.switchDraining('stop')
      crashPoint('drain.after_begin')
      for (const drain of drains.values()) drain.stop()
      crashPoint('drain.after_saf_stop')
      await Promise.all([...links.values()].map((link) => link.stop(DRAIN_MS_MAX)))
      crashPoint('drain.after_links_closed')
      unsettled.stop()
      await ops?.stop()
      log.switchStopped(pipeline.inFlight() + unsettled.count())
    },
  }
}

function gaugesOf(link: Link): { link: string; state: string; pending: number } {
  return { link: link.settings.name, state: link.state, pending: link.pendingCount() }
}

function told(ok: boolean, good: string, bad: string): ProbeResult {
  return { ok, note: ok ? good : bad }
}

/**
 * Ready when every port that should listen does; a network that is away is told, but does not stop
 * the others.
 */
function linksProbe(links: ReadonlyMap<string, Link>): ProbeResult {
  const states = [...links.values()].map((link) => `${link.settings.name} ${link.state}`)
  return { ok: true, note: states.join(', ') }
}
