/**
 * The meaning of a dialect: what its messages are for, beside how they are written.
 *
 * The `meaning:` key of a dialect's YAML file is checked here and used by the link (network
 * management, matching) and by the pipeline (classification, mapping to and from the canonical
 * transaction, response codes). It is data, so that a bank corrects what its licensed documents say
 * otherwise. Imports nothing of ours.
 */

import { z } from 'zod'
import { parseCondition, parsePart } from './conditions.ts'

const fieldNumber = z.coerce.number().int().min(2).max(192)
const mti = z.string().regex(/^[0-9]{4}$/)
/** Field number to the name of a canonical item, e.g. `4: amount`, `19: const:156`. */
const fieldItems = z.record(z.string().regex(/^[0-9]{1,3}$/), z.string())

const networkCodes = z.strictObject({
  sign_on: z.string(),
  sign_off: z.string(),
  echo: z.string(),
  /** Codes a peer may use beside ours for the same three. */
  also: z.record(z.string(), z.enum(['sign_on', 'sign_off', 'echo'])).default({}),
  key_exchange: z.array(z.string()).default([]),
  cutover: z.array(z.string()).default([]),
})

const network = z.strictObject({
  code_field: fieldNumber.default(70),
  request_mti: mti, // what we send for sign-on, sign-off and echo
  accepted_mtis: z.array(mti), // requests a peer may send; the answer's MTI has digit 3 plus one
  codes: networkCodes,
  fields: fieldItems, // what our own requests carry beside the code field
  answer_echo: z.array(fieldNumber), // copied from request to answer
  success: z.string().default('00'),
  failure: z.string().default('96'),
})

/** How DE64/DE128 is made and checked. */
const mac = z.strictObject({
  field: fieldNumber,
  input: z.enum(['packed', 'mab']), // packed: MTI up to the MAC field as sent; mab: CUPS text block
  mab_fields: z.array(fieldNumber).default([]),
  mab_network_fields: z.array(fieldNumber).default([]), // the same for MTI 08xx
  algorithm: z.enum(['x919', 'x99', 'unionpay_pos_ecb', 'cups_host']),
  form: z.enum(['raw8', 'raw4_zero4', 'hex8']), // hex8: four bytes as eight hex characters
  requests: z.array(mti), // request MTIs that must carry it
  answers: z.enum(['always', 'approved', 'never']).default('always'), // when an answer's is checked
})

const kindRow = z.strictObject({
  mti: z.array(mti),
  processing: z.array(z.string()).default([]), // first two digits of DE3; empty = any
  condition: z.array(z.string()).default([]), // DE25; empty = any
  network_code: z.array(z.string()).default([]), // DE70; empty = any
  kind: z.enum([
    'purchase', 'cash', 'balance', 'refund', 'void', 'preauth', 'completion', 'transfer', 'deposit',
    'reversal', 'terminal_sign_on', 'terminal_control', 'key_exchange',
  ]),
})

const fieldList = z.array(fieldNumber)
/** Field number to the condition under which it must be there (config/conditions.ts). */
const conditional = z.record(z.string().regex(/^[0-9]{1,3}$/), z.string())
/** Who sends a message to whom; `either` where both sides may. */
const direction = z.enum([
  'acquirer_to_issuer', 'member_to_network', 'network_to_member', 'terminal_to_host', 'either',
])

/** What holds beside the rules of the MTI when `when` holds, e.g. for one processing code. */
const messageCase = z.strictObject({
  name: z.string(),
  when: z.string(),
  mandatory: fieldList.default([]),
  conditional: conditional.default({}),
  forbidden: fieldList.default([]),
})

const requestShape = z.strictObject({
  title: z.string().default(''), // what it is for, in a few words
  direction: direction.default('either'),
  mandatory: fieldList.default([]),
  conditional: conditional.default({}),
  forbidden: fieldList.default([]), // never there: a message with one of them is wrong
  cases: z.array(messageCase).default([]),
  build: fieldItems.default({}), // how we make this request from a transaction
})

const replyShape = z.strictObject({
  echo: fieldList, // copied from the request as they came
  echoed: fieldList.default([]), // must come back exactly as they were sent
  mandatory: fieldList.default([]),
  conditional: conditional.default({}), // `request field 4` asks about the request
  forbidden: fieldList.default([]),
  set: fieldItems.default({}), // then these, where they have a value
  approved: fieldItems.default({}), // and these when approved
  /** Reason to response code where this answer differs from `response_codes`. */
  codes: z.record(z.string(), z.string()).default({}),
})

/** Legal values of a field, or of some of its characters (`22:0-2`). */
const legalValues = z.strictObject({
  /** True: the list is not known to be complete; another value is not wrong. */
  open: z.boolean().default(true),
  codes: z.record(z.string(), z.string()), // value to what it means
})

/** Counts at which a field that is cut short may end, in the field's unit. */
const legalCounts = z.strictObject({
  open: z.boolean().default(true),
  counts: z.array(z.number().int()),
})

const meaningObject = z.strictObject({
  /** Conditions by name, for `conditional` and `when`; docs/reference/dialects explains them. */
  conditions: z.record(z.string().regex(/^[a-z][a-z0-9_]*$/), z.string()).default({}),
  /** Legal values by field or part of a field. */
  values: z.record(z.string(), legalValues).default({}),
  /** Legal counts by field. */
  lengths: z.record(z.string().regex(/^[0-9]{1,3}$/), legalCounts).default({}),
  /** Forms in use beside this one, and how to get them: name to text. */
  variants: z.record(z.string(), z.string()).default({}),
  kinds: z.array(kindRow).default([]),
  /**
   * Fields that make the key under which an answer is matched with its request; the link adds MTI
   * class.
   */
  matching: z.array(fieldNumber),
  /** Parts of the business key of a request: `11` is a field, `60:2-8` its characters 2 to 7. */
  business_key: z.array(z.string()).default([]),
  /** The same for the original a reversal points to, in the same order as business_key. */
  original_key: z.array(z.string()).default([]),
  /** The part that holds a terminal's batch number, or empty. */
  batch: z.string().default(''),
  requests: z.record(mti, requestShape).default({}),
  /**
   * The MTI with which a kind goes to this network; a kind that is not listed is not offered there.
   */
  forward_mti: z.record(z.string(), mti).default({}),
  /** How we answer a request: by its MTI, else `other`. The response code field is always set. */
  replies: z
    .record(z.union([mti, z.literal('other')]), replyShape)
    .default({}),
  /** Canonical item to reader, read from a request of this dialect, beside the usual numbers of
   * ISO 8583: `batch: 60`, or some characters of a field, `localTime: '12:6-12'`. */
  read: z.record(z.string(), z.union([fieldNumber, z.string()])).default({}),
  /** How DE22 is written: three or four digits of 1987, or the twelve positions of 1993. */
  entry_mode: z.enum(['iso87', 'iso93']).default('iso87'),
  /** Reason to response code; one code for every reason, checked for totality at start. */
  response_codes: z.record(z.string(), z.string()).default({}),
  /**
   * Response code to reason; a code that is not listed becomes `unmapped_decline` and is counted.
   */
  reasons: z.record(z.string(), z.string()).default({}),
  /** Codes after which money may have moved all the same: declined and reversed. */
  uncertain: z.array(z.string()).default([]),
  response_code_field: fieldNumber.default(39),
  network: network.optional(),
  /** How the peer sends working keys: CUPS key reset (DE48 NK, 53, 96, 128) or Visa (DE96, 105). */
  key_exchange: z.enum(['cups_reset', 'visa_105']).optional(),
  mac: mac.optional(),
  reversal: z
    .strictObject({
      mti, // first attempt
      repeat_mti: mti,
      reuse_stan: z.boolean().default(false), // true: it carries the original's STAN (Visa)
      partial: z.boolean().default(false), // true: it can name what stays (DE95)
      accepted: z.array(z.string()), // response codes that close it
      retry: z.array(z.string()), // response codes after which it is sent again; others park it
    })
    .optional(),
  transmission_time: z.enum(['utc', 'local']).default('utc'), // what DE7 counts in
})

/** Checked when a dialect is read: conditions and parts of fields must be readable. */
export const meaningSchema = meaningObject.superRefine((meaning, context) => {
  const wrong = (path: PropertyKey[], message: string): void => {
    context.addIssue({ code: 'custom', path, message })
  }
  for (const [path, text] of conditionsOf(meaning)) {
    try {
      parseCondition(text, meaning.conditions)
    } catch (error) {
      wrong(path, error instanceof Error ? error.message : 'is no condition')
    }
  }
  for (const key of Object.keys(meaning.values)) {
    if (parsePart(key) === null) wrong(['values', key], 'must be a field or FIELD:FROM-TO')
  }
})

type Shaped = z.infer<typeof meaningObject>

/** Every condition of a meaning with the path at which it stands. */
function* conditionsOf(meaning: Shaped): Generator<readonly [PropertyKey[], string]> {
  for (const [name, text] of Object.entries(meaning.conditions)) yield [['conditions', name], text]
  for (const [mti, shape] of Object.entries(meaning.requests)) {
    yield* conditionalsOf(['requests', mti], shape.conditional)
    for (const [at, one] of shape.cases.entries()) {
      yield [['requests', mti, 'cases', at, 'when'], one.when]
      yield* conditionalsOf(['requests', mti, 'cases', at], one.conditional)
    }
  }
  for (const [mti, shape] of Object.entries(meaning.replies)) {
    yield* conditionalsOf(['replies', mti], shape.conditional)
  }
}

function* conditionalsOf(
  path: PropertyKey[], table: Readonly<Record<string, string>>,
): Generator<readonly [PropertyKey[], string]> {
  for (const [field, text] of Object.entries(table)) {
    yield [[...path, 'conditional', field], text]
  }
}

/** What a dialect's messages mean; see the schema for each key. */
export type Meaning = z.infer<typeof meaningObject>

/**
 * Checks the `meaning:` part of a dialect file; the error names the dialect and every wrong key.
 */
export function parseMeaning(dialect: string, raw: unknown): Meaning {
  const result = meaningSchema.safeParse(raw ?? {})
  if (result.success) return result.data
  const lines = result.error.issues.map(
    (issue) => `dialect ${dialect}, meaning.${issue.path.join('.')}: ${issue.message}`,
  )
  throw new Error(lines.join('\n'))
}
