/**
 * Wires pipeline, links and store-and-forward on whatever ports it is given: main.ts gives real
 * ones, the simulation (tests/simulation) virtual ones. The same code serves both, so what the
 * simulation finds is true of the product.
 *
 * It opens nothing by itself: `start` of the result does. It must never read a clock, draw chance
 * or touch a socket but through its ports.
 */

import type { SwitchConfig, LinkConfig } from '../config/schema.ts'
import { loadDialectSpec } from '../config/dialects.ts'
import { parseMeaning, type Meaning } from '../config/meaning.ts'
import type { KeyCache } from '../hsm/key-directory.ts'
import type { Hsm } from '../hsm/port.ts'
import { buildRoutes } from '../routing/choose.ts'
import { compileDialect, type Dialect } from './codec/dialect.ts'
import { framingFor } from './framing/framings.ts'
import type { Journal } from './journal/port.ts'
import { createLink, type ConnectionObserver } from './link/link.ts'
import type { Link, LinkSettings, LinkState } from './link/contract.ts'
import type { Net } from './link/port.ts'
import { DRAIN_MS_MAX } from './limits.ts'
import { PanVault } from './pan-vault.ts'
import { MessageBuilder } from './pipeline/build-message.ts'
import { Calendar } from './pipeline/calendar.ts'
import {
  keyNames, terminalKey,
  type Context, type Issuer, type LinkProfile, type Observer, type Terminal,
} from './pipeline/context.ts'
import { KeyOverlap, previousName } from './pipeline/key-overlap.ts'
import { Numbers } from './pipeline/numbers.ts'
import { readerOf, type IccForm, type Reader } from './pipeline/read-request.ts'
import { Pipeline } from './pipeline/run.ts'
import { SafDrain } from './pipeline/saf.ts'
import { Unsettled } from './pipeline/unsettled.ts'
import { ZoneKeys } from './pipeline/zone-keys.ts'
import type { Clock } from './runtime/clock.ts'
import { crashPoint } from './runtime/crash-point.ts'
import type { Random } from './runtime/random.ts'

/** What cannot be had at start; the message is one line that says what to do. */
export class StartFailed extends Error {
  readonly code = 'start_failed'
}

/** Everything unpredictable, and what remembers keys. */
export interface WiringPorts {
  journal: Journal
  hsm: Hsm
  keys: KeyCache
  net: Net
  clock: Clock
  random: Random
}

/** Who is told what happens; `Observation` is one. */
export interface Witness extends Observer {
  linkChanged(link: string, from: LinkState, to: LinkState, cause: string): void
  malformed(link: string, fault: { kind: string; field: number; offset: number }): void
  keyInForce(name: string, kcvHex: string): void
}

/** What wiring may be told of single connections. */
export interface WiringWitnesses {
  witness: Witness
  connections?: ConnectionObserver
}

/** A dialect as loaded once: table, meaning, and how it writes chip data. */
export interface LoadedDialect {
  dialect: Dialect
  meaning: Meaning
  iccForm: IccForm
}

/** The wired switch above its ports. */
export interface Wired {
  context: Context
  links: ReadonlyMap<string, Link>
  drains: ReadonlyMap<string, SafDrain>
  pipeline: Pipeline
  unsettled: Unsettled
  /** Begins settling, draining, listening and dialling; rejects when a port cannot be had. */
  start(): Promise<void>
  /** No new work; what is in flight ends (bounded); links sign off and close. */
  stop(): Promise<void>
}

/** The dialects that the links name, each read and compiled once. @throws as the loaders do */
export function loadDialects(config: SwitchConfig): ReadonlyMap<string, LoadedDialect> {
  const loaded = new Map<string, LoadedDialect>()
  for (const { dialect: name } of config.links) {
    if (loaded.has(name)) continue
    const spec = loadDialectSpec(name)
    loaded.set(name, {
      dialect: compileDialect(spec),
      meaning: parseMeaning(name, spec.meaning),
      iccForm: iccFormOf(spec),
    })
  }
  return loaded
}

/**
 * Makes everything above the ports; links and timers begin with `start` of the result.
 *
 * @throws JournalUnavailable when no numbers can be had; StartFailed when the token gives no vault
 *   keys
 */
export async function wirePipeline(
  config: SwitchConfig,
  dialects: ReadonlyMap<string, LoadedDialect>,
  ports: WiringPorts,
  witnesses: WiringWitnesses,
): Promise<Wired> {
  const { witness } = witnesses
  const { journal, hsm, clock, random } = ports
  const secrets = await hsm.vaultKeys()
  if (secrets.outcome !== 'ok') {
    throw new StartFailed(`the token gives no vault keys (${secrets.outcome})`)
  }
  const numbers = new Numbers(journal, (error) => witness.failed('numbers', error))
  const names = config.links.map((link) => `stan.${link.name}`)
  await numbers.prepare(['rrn', 'batch', ...names])
  const profiles = new Map(
    config.links.map((link) => [link.name, profileOf(config, link, dialects)]),
  )
  const links = new Map<string, Link>()
  const drains = new Map<string, SafDrain>()
  const unsettled = new Unsettled()
  const known = async (name: string): Promise<boolean> => (await journal.keyBlock(name)) !== null
  const zoneKeys = new ZoneKeys(clock, profiles, known)
  const overlap = new KeyOverlap(clock)
  const context: Context = {
    clock,
    random,
    journal,
    hsm,
    vault: new PanVault(secrets.value, random),
    numbers,
    calendar: new Calendar(clock, config.time_zone, config.business_date.cutover_local_time),
    routes: buildRoutes(config.routes),
    links,
    profiles,
    terminals: terminalsOf(config),
    issuerOf: issuerFinder(config),
    overlap,
    observer: witness,
    keepKey: keyKeeper(ports, witness, { links, zoneKeys, overlap }),
    wakeSaf: (destination) => drains.get(destination)?.wake(),
    unsettled: (txn) => {
      if (!unsettled.add(txn)) witness.failed('unsettled_full', new Error('settled at next start'))
    },
    isUnsettled: (key) => unsettled.has(key),
  }
  const speech = speechOf(config, dialects, profiles)
  const pipeline = new Pipeline({
    context,
    builders: speech.builders,
    readers: speech.readers,
    linkChanged: (link, from, to, cause) => {
      witness.linkChanged(link.settings.name, from, to, cause)
      zoneKeys.linkChanged(link, to)
    },
    malformed: (link, fault) => witness.malformed(link.settings.name, fault),
  })
  makeLinks(config, { links, drains, speech, pipeline, context, ports, witnesses })
  return { context, links, drains, pipeline, unsettled, ...lifeOf(context, drains, unsettled) }
}

/** How working keys that come while running are stored and put in force. */
function keyKeeper(
  ports: WiringPorts,
  witness: Witness,
  parts: { links: ReadonlyMap<string, Link>; zoneKeys: ZoneKeys; overlap: KeyOverlap },
): Context['keepKey'] {
  const { journal, keys } = ports
  const { links, zoneKeys, overlap } = parts
  const checkValues = new Map<string, string>() // of the keys that came in this life, by name
  const keepPrevious = async (name: string): Promise<void> => {
    // Of two replacements that were never seen in use, the terminal may hold the one before both.
    const before = overlap.isUnproven(name) ? null : await keys.find(name)
    if (before === null) return
    await journal.putKeyBlock(previousName(name), before, '', '')
    keys.put(previousName(name), before)
    if (name.startsWith('zone.')) overlap.replaced(name)
    else overlap.replacedUntilProven(name)
  }
  return async (name, block, kcv, usage) => {
    const kcvHex = Buffer.from(kcv).toString('hex').toUpperCase()
    // The same key again (its answer was lost) must not become its own predecessor.
    if (checkValues.get(name) !== kcvHex) await keepPrevious(name)
    checkValues.set(name, kcvHex)
    crashPoint('key.after_previous_kept')
    await journal.putKeyBlock(name, block, kcvHex, usage)
    crashPoint('key.after_stored')
    keys.put(name, block)
    witness.keyInForce(name, kcvHex)
    for (const link of links.values()) {
      const zone = [keyNames.zonePin(link.settings.name), keyNames.zoneMac(link.settings.name)]
      if (zone.includes(name)) zoneKeys.delivered(link, name)
    }
  }
}

interface Speech {
  builders: ReadonlyMap<string, MessageBuilder>
  readers: ReadonlyMap<string, Reader>
}

/** How the dialect writes chip data: as its field 55 is declared. */
function iccFormOf(spec: ReturnType<typeof loadDialectSpec>): IccForm {
  const field = spec.fields[55]
  if (field?.shape === 'visa-datasets') return 'visa_dataset'
  return field?.kind === 'b' ? 'tlv' : 'hex_text'
}

/** What each link speaks: builder and reader per link. */
function speechOf(
  config: SwitchConfig,
  dialects: ReadonlyMap<string, LoadedDialect>,
  profiles: ReadonlyMap<string, LinkProfile>,
): Speech {
  const builders = new Map<string, MessageBuilder>()
  const readers = new Map<string, Reader>()
  for (const link of config.links) {
    const loaded = dialects.get(link.dialect)
    const profile = profiles.get(link.name)
    if (!loaded || !profile) throw new Error(`link ${link.name}: its dialect was not loaded`)
    builders.set(link.name, new MessageBuilder(loaded.dialect, loaded.meaning, profile))
    readers.set(link.name, readerOf(loaded.meaning, loaded.iccForm))
  }
  return { builders, readers }
}

interface LinkParts {
  links: Map<string, Link>
  drains: Map<string, SafDrain>
  speech: Speech
  pipeline: Pipeline
  context: Context
  ports: WiringPorts
  witnesses: WiringWitnesses
}

function makeLinks(config: SwitchConfig, parts: LinkParts): void {
  const { links, drains, speech, pipeline, context, ports } = parts
  const { connections } = parts.witnesses
  for (const link of config.links) {
    const builder = speech.builders.get(link.name)
    if (!builder) continue
    const settings = linkSettings(config, link, builder)
    const made = createLink(settings, pipeline, {
      net: ports.net,
      clock: ports.clock,
      random: ports.random,
      timeZone: config.time_zone,
      nextStan: () => context.numbers.take(`stan.${link.name}`) ?? '000000',
      ...(connections ? { observer: connections } : {}),
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

function profileOf(
  config: SwitchConfig,
  link: LinkConfig,
  dialects: ReadonlyMap<string, LoadedDialect>,
): LinkProfile {
  const scheme = link.role === 'scheme'
  const hasMac = dialects.get(link.dialect)?.meaning.mac !== undefined
  return {
    institution: link.institution ?? config.institution,
    pinKey: scheme ? keyNames.zonePin(link.name) : '',
    macKey: scheme ? keyNames.zoneMac(link.name) : '',
    pinFormat: link.pin_format,
    macRequired: link.mac === 'required' && hasMac,
    keyExchangeKey: scheme ? (link.key_exchange_key ?? '') : '',
    replyTimeoutMs: scheme ? link.reply_timeout_ms : 0,
    terminalWaitMs: scheme ? 0 : link.terminal_wait_ms,
    mayReach: link.may_reach,
  }
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

/** Start and stop of what has a life of its own above the ports. */
function lifeOf(
  context: Context,
  drains: ReadonlyMap<string, SafDrain>,
  unsettled: Unsettled,
): Pick<Wired, 'start' | 'stop'> {
  const { links } = context
  return {
    async start(): Promise<void> {
      unsettled.start(context)
      for (const drain of drains.values()) drain.start()
      for (const link of links.values()) await link.start()
    },
    async stop(): Promise<void> {
      crashPoint('drain.after_begin')
      for (const drain of drains.values()) drain.stop()
      crashPoint('drain.after_saf_stop')
      await Promise.all([...links.values()].map((link) => link.stop(DRAIN_MS_MAX)))
      crashPoint('drain.after_links_closed')
      unsettled.stop()
    },
  }
}
