/**
 * The running switch: its ports, the pipeline wired on them (wiring.ts), operations pages. Nothing
 * imports this file but the command `switchyard run`.
 *
 * Order of start: database and migrations, token, what was in doubt, then links: nothing financial
 * passes before recovery is done. Order of stop: no new work, what is in flight ends, links sign
 * off, token and database close.
 */

import { existsSync, readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import type { SwitchConfig } from '../config/schema.ts'
import { KeyCache } from '../hsm/key-directory.ts'
import {
  findModule, SOFTHSM_PATHS, softoknParameters, SOFTOKN_PATHS,
} from '../hsm/pkcs11/module-path.ts'
import { useSoftHsmConfiguration } from '../hsm/pkcs11/environment.ts'
import { Pkcs11Hsm } from '../hsm/pkcs11/pkcs11-hsm.ts'
import type { Hsm } from '../hsm/port.ts'
import { startOps, type Ops, type ProbeResult } from '../console/ops/http.ts'
import type { Journal } from './journal/port.ts'
import { markAsOurs } from './journal/one-switch.ts'
import { PostgresJournal } from './journal/postgres.ts'
import { FAULT_KINDS } from './codec/fault.ts'
import type { ConnectionObserver } from './link/link.ts'
import type { Link } from './link/contract.ts'
import { tcpNet } from './link/tcp.ts'
import { Log } from './log/log.ts'
import { Meters } from './meters.ts'
import { Observation } from './observation.ts'
import { systemClock } from './runtime/clock.ts'
import { crashPoint } from './runtime/crash-point.ts'
import { systemRandom } from './runtime/random.ts'
import { loadDialects, StartFailed, wirePipeline, type Wired } from './wiring.ts'

const VERSION = '0.1.0'

export interface SwitchOptions {
  config: SwitchConfig
  home: string // data directory
  databaseUrl: string
}

export interface RunningSwitch {
  stop(): Promise<void>
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
    undo.push(await ownDatabase(options.databaseUrl))
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

/** Takes the database for this switch alone; gives what lets it go. */
async function ownDatabase(url: string): Promise<() => Promise<void>> {
  let release: (() => Promise<void>) | null
  try {
    release = await markAsOurs(url, systemClock)
  } catch {
    throw new StartFailed('the database does not answer; check SWITCHYARD_DATABASE_URL')
  }
  if (!release) throw new StartFailed('another switch runs on this database; end it first')
  return release
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
  const connections: ConnectionObserver = {
    connectionOpened: (link, id, remote) => log.connectionOpened(link.settings.name, id, remote),
    connectionClosed: (link, id, remote, cause) => {
      log.connectionClosed(link.settings.name, id, remote, cause)
    },
  }
  const net = tcpNet(systemClock)
  const wired = await wirePipeline(
    config,
    loadDialects(config),
    { journal, hsm, keys, net, clock: systemClock, random: systemRandom },
    { witness: new Observation(log, meters), connections },
  )
  return lifeOf(config, ports, wired)
}

/** Start and stop of the switch with its pages and log lines. */
function lifeOf(
  config: SwitchConfig,
  ports: Ports,
  wired: Wired,
): { start(): Promise<void>; stop(): Promise<void> } {
  const { log, meters, hsm, journal } = ports
  const { links, pipeline, unsettled } = wired
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
      await wired.start()
      crashPoint('start.after_links_open')
      log.switchStarted(VERSION, links.size)
    },
    async stop(): Promise<void> {
      ops?.drain()
      log.switchDraining('stop')
      await wired.stop()
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
