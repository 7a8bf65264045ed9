// The configuration file's form: one strict schema that yields the type SwitchConfig, the validator
// and the published JSON Schema (config/switchyard.schema.json). Called by config/load.ts; every
// room may import the types. It checks the form of each value; what values say about each other is
// config/rules.ts. It must never read a file or hold a secret: secrets are named by reference.
// Names are as in the file (snake_case, units last); defaults with their reasons: defaults.ts.
import { z } from 'zod'
import * as defaults from './defaults.ts'

/** Framing names of the command line and the configuration (contract of the command line). */
export const FRAMING_NAMES = [
  'none',
  'visa',
  'cups',
  'cups4',
  '2b',
  '2b+tpdu',
  '2b+tpdu+app',
  'tpdu',
  'tpdu+app',
  '4ascii',
  '4b',
  '2bcd',
] as const

/** PIN block formats, as hsm/port.ts has them. */
export const PIN_FORMATS = [
  'iso0',
  'iso1',
  'iso3',
  'iso4',
  'unionpay_pan',
  'unionpay_no_pan',
] as const

/** Where an endpoint is, parsed from `host:port`. */
export interface EndpointConfig {
  host: string
  port: number
}

/** `host:port`, IPv6 in brackets: the host in group 1 or 2, the port in group 3. */
const ENDPOINT = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})$/

const wholeNumber = (min: number, max: number, byDefault: number, description: string) =>
  z.int().min(min).max(max).default(byDefault).describe(description)

const text = (pattern: RegExp, form: string) => z.string().regex(pattern, form)
const identifier = text(/^[a-z][a-z0-9_-]{0,30}$/, 'a name of a-z, 0-9, - and _, 31 at most')
const keyName = text(/^[a-z0-9][a-z0-9_.-]{0,62}$/, 'a key name of a-z, 0-9, dot, - and _')
const host = text(/^[A-Za-z0-9.:-]{1,253}$/, 'a host name or address')
const digits = (min: number, max: number) =>
  text(
    new RegExp(`^[0-9]{${min},${max}}$`),
    min === max ? `${min} digits in quotes` : `${min} to ${max} digits in quotes`,
  )
const currency = digits(3, 3)

const endpoint = text(ENDPOINT, 'host:port, e.g. 127.0.0.1:7001')
  .refine((value) => portOf(value) >= 1 && portOf(value) <= 65_535, 'a port from 1 to 65535')
  .transform((value): EndpointConfig => {
    const parts = ENDPOINT.exec(value)
    return { host: parts?.[1] ?? parts?.[2] ?? '', port: portOf(value) }
  })

function portOf(value: string): number {
  return Number(ENDPOINT.exec(value)?.[3] ?? 0)
}

const operationsHttp = z.strictObject({
  host: host.default('127.0.0.1').describe('address of the operations pages'),
  port: wholeNumber(1, 65_535, defaults.OPERATIONS_PORT, 'port of /livez, /readyz and /metrics'),
})

const database = z.strictObject({
  connections_max: wholeNumber(
    1,
    64,
    defaults.DATABASE_CONNECTIONS_MAX,
    'connections the switch opens; the address comes from SWITCHYARD_DATABASE_URL',
  ),
})

const token = z.strictObject({
  module: text(/^(softhsm2|nss|\/.+)$/, 'softhsm2, nss or the absolute path of a PKCS#11 module')
    .default('softhsm2')
    .describe('PKCS#11 module: softhsm2, nss, or the absolute path of a library'),
  label: text(/^[ -~]{1,32}$/, '1 to 32 printable characters')
    .describe('label of the token; PKCS#11 v2.40 allows 32 characters'),
  pin_file: text(/^.{1,255}$/, 'the path of a file')
    .describe('file with the token PIN, mode 0600; relative paths start at the data directory'),
  workers: wholeNumber(1, 16, defaults.TOKEN_WORKERS, 'worker threads that hold token sessions'),
  clear_pin_in_worker: z
    .enum(['accepted', 'refused'])
    .default('refused')
    .describe('accepted: a token that cannot translate PIN blocks inside may do it in the worker'),
  clear_components_in_worker: z
    .enum(['accepted', 'refused'])
    .default('refused')
    .describe('accepted: a token that cannot add key components inside has it done outside'),
  call_timeout_ms: wholeNumber(
    50,
    30_000,
    defaults.TOKEN_CALL_TIMEOUT_MS,
    'after this a token call counts as failed and the token as gone',
  ),
})

/** What links of both roles have. */
const anyLink = {
  name: identifier.describe('name of the link in routes, logs and metrics'),
  dialect: z.string().describe('name of a file in config/dialects/ without .yaml'),
  framing: z.enum(FRAMING_NAMES).describe('how messages are cut out of the stream'),
  institution: digits(1, 11)
    .nullable()
    .default(null)
    .describe('our institution id on this link, when it differs from the general one'),
  acknowledge_cleartext: z
    .literal('leased-line')
    .nullable()
    .default(null)
    .describe('says that an address other than loopback is on a protected line'),
  mac: z
    .enum(['required', 'none'])
    .default('required')
    .describe('required: messages for which the dialect defines a MAC must carry a right one'),
  pin_format: z.enum(PIN_FORMATS).default(defaults.PIN_FORMAT).describe('PIN block format here'),
  frame_bytes_max: wholeNumber(
    64,
    65_535,
    defaults.FRAME_BYTES_MAX,
    'a longer frame closes the connection',
  ),
  first_byte_timeout_ms: wholeNumber(
    100,
    600_000,
    defaults.FIRST_BYTE_TIMEOUT_MS,
    'an accepted connection that says nothing for this long is closed',
  ),
  frame_timeout_ms: wholeNumber(
    100,
    60_000,
    defaults.FRAME_TIMEOUT_MS,
    'a frame that was begun must be complete within this time',
  ),
  write_buffer_bytes_max: wholeNumber(
    4_096,
    16_777_216,
    defaults.WRITE_BUFFER_BYTES_MAX,
    'bytes that may wait for a peer that does not read',
  ),
} as const

const mayReach = z.array(z.string()).max(64)

const terminalsLink = z.strictObject({
  role: z.literal('terminals').describe('a listening port for POS terminals or ATMs'),
  ...anyLink,
  listen: endpoint.describe('address and port that terminals dial'),
  connections_max: wholeNumber(
    1,
    50_000,
    defaults.TERMINAL_CONNECTIONS_MAX,
    'connections at once; one more is closed when it opens',
  ),
  terminal_wait_ms: wholeNumber(
    1_000,
    60_000,
    defaults.TERMINAL_WAIT_MS,
    'how long the terminals wait for an answer before they reverse by themselves',
  ),
  may_reach: mayReach.default(['any']).describe('links its requests may be sent to, or any'),
})

const schemeLink = z.strictObject({
  role: z.literal('scheme').describe('one peer: a card scheme or a partner institution'),
  ...anyLink,
  listen: endpoint.nullable().default(null).describe('address and port that the peer dials'),
  connect: endpoint.nullable().default(null).describe('address and port that we dial'),
  connections_max: wholeNumber(
    1,
    64,
    defaults.SCHEME_CONNECTIONS_MAX,
    'accepted connections at once; one more is closed when it opens',
  ),
  peer_institution: digits(1, 11).describe("the peer's institution id or station id"),
  may_reach: mayReach
    .default([])
    .describe('links its requests may be sent to besides on_us, or any'),
  sign_on: z.boolean().default(true).describe('false: financials need no sign-on on this link'),
  keys_required: z.boolean().default(true).describe('true: no financials before working keys'),
  key_exchange_key: keyName
    .nullable()
    .default(null)
    .describe('name of the key under which working keys are exchanged'),
  pending_max: wholeNumber(1, 65_536, defaults.PENDING_MAX, 'requests that may wait for answers'),
  reply_timeout_ms: wholeNumber(
    500,
    58_000,
    defaults.REPLY_TIMEOUT_MS,
    'after this a request counts as unanswered and is reversed',
  ),
  network_timeout_ms: wholeNumber(
    500,
    60_000,
    defaults.NETWORK_TIMEOUT_MS,
    'wait for answers to sign-on, sign-off and echo',
  ),
  echo_idle_ms: wholeNumber(
    1_000,
    3_600_000,
    defaults.ECHO_IDLE_MS,
    'silence after which we send an echo',
  ),
  echo_misses_max: wholeNumber(
    1,
    10,
    defaults.ECHO_MISSES_MAX,
    'unanswered echoes after which the connection is closed',
  ),
  reconnect_min_ms: wholeNumber(
    50,
    60_000,
    defaults.RECONNECT_MIN_MS,
    'first pause before dialling again; it doubles, with jitter',
  ),
  reconnect_max_ms: wholeNumber(
    50,
    600_000,
    defaults.RECONNECT_MAX_MS,
    'longest pause before dialling again',
  ),
})

export const linkSchema = z.discriminatedUnion('role', [terminalsLink, schemeLink])

export const terminalSchema = z.strictObject({
  id: text(/^[0-9A-Za-z]{8}$/, '8 letters or digits in quotes').describe('DE41, 8 characters'),
  merchant: text(/^[0-9A-Za-z]{15}$/, '15 letters or digits in quotes').describe('DE42'),
  link: z.string().describe('name of the terminals link it uses'),
  key: keyName.describe('name of its master key (TMK) in the token'),
  mcc: digits(4, 4).describe('merchant category, ISO 18245'),
  name: text(/^[ -~]{1,25}$/, '1 to 25 printable characters').describe('for DE43'),
})

export const issuerSchema = z.strictObject({
  bins: z.array(digits(4, 12)).min(1).describe('prefixes of our own cards'),
  currency: currency.describe('of the accounts, ISO 4217 numeric'),
  pan_length: wholeNumber(12, 19, defaults.PAN_LENGTH, 'digits of a PAN of these cards'),
  pin_method: z.enum(['pvv', 'ibm3624']).default('pvv').describe('how PINs are verified'),
  pin_tries_max: wholeNumber(1, 9, defaults.PIN_TRIES_MAX, 'wrong PINs before the card is blocked'),
  pvk: keyName.describe('key name: PIN verification'),
  cvk: keyName.describe('key name: card verification values'),
  imk_ac: keyName.describe('key name: application cryptograms'),
  cryptogram_scheme: z
    .enum(['unionpay_cvn01', 'visa_cvn10', 'visa_cvn18'])
    .describe('how ARQC and ARPC are made'),
})

const prefix = digits(1, 15)
const range = text(
  /^[0-9]{4,15}-[0-9]{4,15}$/,
  'two numbers of equal length, e.g. 62212600-62292599',
)

export const routeSchema = z.strictObject({
  prefix: prefix.nullable().default(null).describe('PANs that begin with these digits'),
  range: range.nullable().default(null).describe('PANs whose first digits lie in this range'),
  to: z.string().describe('on_us, or the name of a scheme link'),
  alternates: z
    .array(z.string())
    .max(4)
    .default([])
    .describe('links to use, in this order, when it is known that nothing was sent'),
})

const reversals = z.strictObject({
  retry_first_ms: wholeNumber(
    100,
    600_000,
    defaults.REVERSAL_RETRY_FIRST_MS,
    'first pause before an unacknowledged reversal is repeated; it doubles',
  ),
  retry_max_ms: wholeNumber(
    100,
    3_600_000,
    defaults.REVERSAL_RETRY_MAX_MS,
    'longest pause between two attempts',
  ),
  attempts_max: wholeNumber(
    1,
    1_000,
    defaults.REVERSAL_ATTEMPTS_MAX,
    'attempts after which the row is parked for a person',
  ),
  window: wholeNumber(1, 256, defaults.REVERSAL_WINDOW, 'reversals under way at once per link'),
})

const businessDate = z.strictObject({
  cutover_local_time: text(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'HH:MM in quotes, e.g. "23:00"')
    .default(defaults.CUTOVER_LOCAL_TIME)
    .describe('from this time on a transaction belongs to the next business date'),
})

const log = z.strictObject({
  level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('least level written'),
})

/** The sections whose elements may be spread over several files of a configuration directory. */
export const LIST_SECTIONS = ['links', 'terminals', 'issuers', 'routes'] as const

export const configSchema = z
  .strictObject({
    node: identifier.describe('name of this node'),
    demonstration: z
      .boolean()
      .default(false)
      .describe('true allows keys whose name begins with demo.; never for real cards'),
    time_zone: z.string().default('UTC').describe('IANA zone of business dates and local times'),
    institution: digits(1, 11).describe('our institution id, where a link does not say another'),
    operations_http: operationsHttp.prefault({}).describe('health and metrics pages'),
    database: database.prefault({}).describe('PostgreSQL'),
    token: token.describe('the PKCS#11 token that holds the keys'),
    business_date: businessDate.prefault({}).describe('cut-over'),
    log: log.prefault({}).describe('log lines'),
    links: z.array(linkSchema).max(256).describe('connections to peers and listening ports'),
    terminals: z.array(terminalSchema).max(100_000).default([]).describe('known terminals'),
    issuers: z.array(issuerSchema).max(64).default([]).describe('our own card ranges'),
    routes: z
      .array(routeSchema)
      .max(500_000)
      .default([])
      .describe('longest prefix wins; a PAN that matches none is declined'),
    reversals: reversals.prefault({}).describe('store and forward'),
  })
  .describe('Switchyard configuration')

/** The whole configuration with its defaults filled in. */
export type SwitchConfig = z.infer<typeof configSchema>
export type LinkConfig = z.infer<typeof linkSchema>
export type SchemeLinkConfig = z.infer<typeof schemeLink>
export type TerminalsLinkConfig = z.infer<typeof terminalsLink>
export type TerminalConfig = z.infer<typeof terminalSchema>
export type IssuerConfig = z.infer<typeof issuerSchema>
export type RouteConfig = z.infer<typeof routeSchema>
export type TokenConfig = z.infer<typeof token>

/** The published JSON Schema (draft 2020-12) of the file as a person writes it. */
export function jsonSchema(): unknown {
  return z.toJSONSchema(configSchema, { io: 'input' })
}
