// hot path
/**
 * Where the fields of one bitmap stand, as far as that is known before the message is: the table of
 * a dialect, laid out for the fields that are there. walk() finds it by the bitmap and then needs
 * only the lengths of the variable fields; a View reads positions from it.
 *
 *     fieldsStart              bases[1]                bases[2]
 *     | DE3 | DE4 | .. DE32 .. | DE33                  | DE37 | DE41 | DE42
 *     '------ segment 0 ------''------ segment 1 -----''------ segment 2 ...
 *
 * A segment is any number of fixed fields and then one variable field, whose end is the base of
 * the next. What stands after the last variable field is the tail. A position is a segment and an
 * offset in it.
 *
 * A dialect keeps up to ARRANGEMENT_SLOTS arrangements, those of bitmaps seen twice, so that a
 * sender of random bitmaps costs time but no memory. Kept arrangements never change: a View may
 * hold one for as long as it lives.
 */
import { ARRANGEMENT_SLOTS, CHECK, FIELD_MAX, FORM, PREFIX, RUN, UNIT } from './dialect.ts'
import type { Dialect } from './dialect.ts'

// Imported values under local names: the engine takes a local constant for a constant.
const FIELDS_MAX = FIELD_MAX

/** Columns of Arrangement.places; -1 in all where the field is not there. */
export const PLACE = {
  columns: 4, startSegment: 0, startOffset: 1, endSegment: 2, endOffset: 3,
} as const
/** What Arrangement.steps holds of each field in ascending order, in one number. */
export const STEP = {
  fieldMask: 255,
  bytesAt: 8, // 15 bits: bytes of a fixed value, 0 for a variable one
  prefixBytesAt: 23, // 3 bits
  textKindAt: 26, // 3 bits: TEXT of dialect.ts
} as const
/** Columns of Arrangement.segments: bytes before the variable field, LENGTH, minimum, field. */
export const SEGMENT = { columns: 4, fixedBytes: 0, length: 1, countMin: 2, field: 3 } as const
/** Columns of Arrangement.runs: RUN of dialect.ts, then where it starts and ends. */
export const RUNS = {
  columns: 5, kind: 0, startSegment: 1, startOffset: 2, endSegment: 3, endOffset: 4,
} as const
/** Columns of Arrangement.pads: where a fixed odd number has its pad, and the nibble that is it. */
export const PADS = { columns: 3, segment: 0, offset: 1, mask: 2 } as const
/** What is known of a length prefix, in one number. */
export const LENGTH = {
  countMask: 16383, // largest count
  prefixBytesAt: 14, // 3 bits
  tableAt: 17, // 2 bits: which quarter of PREFIX_VALUE
  formAt: 19, // 2 bits: FORM
  padLeft: 1 << 23, // an odd count has a pad of 0 after its digits
  padRight: 1 << 24, // or before them
  plain: 1 << 22, // the prefix counts the field's own units
} as const

export class Arrangement {
  /** Bitmaps, thirty-two fields per entry, the continuation bits cleared. */
  readonly bits: Int32Array
  /** The same once more, where the engine reads them quickest. */
  word0: number
  word1: number
  word2: number
  word3: number
  word4: number
  word5: number
  /** Numbers of the fields, ascending, up to the first that the dialect does not have. */
  readonly fields: Uint8Array
  fieldCount: number
  /** Whether the dialect has all fields. */
  complete: boolean
  readonly places: Int32Array
  readonly steps: Int32Array
  readonly segments: Int32Array
  segmentCount: number
  tailBytes: number
  /** Numbers that stand side by side, length prefixes between them included. */
  readonly runs: Int32Array
  runCount: number
  readonly pads: Int32Array
  padCount: number
  /** Fields whose values are checked one by one. */
  readonly checked: Uint8Array
  checkedCount: number

  /** An arrangement of no fields with room for all, or a copy of `other` with room for its own. */
  constructor(other?: Arrangement) {
    const fields = other?.fieldCount ?? FIELDS_MAX
    const segments = other?.segmentCount ?? FIELDS_MAX
    const runs = other?.runCount ?? FIELDS_MAX
    const pads = other?.padCount ?? FIELDS_MAX
    const checked = other?.checkedCount ?? FIELDS_MAX
    this.bits = other === undefined ? new Int32Array(FIELDS_MAX / 32) : other.bits.slice()
    this.word0 = other?.word0 ?? 0
    this.word1 = other?.word1 ?? 0
    this.word2 = other?.word2 ?? 0
    this.word3 = other?.word3 ?? 0
    this.word4 = other?.word4 ?? 0
    this.word5 = other?.word5 ?? 0
    this.fields = new Uint8Array(fields)
    this.fieldCount = other?.fieldCount ?? 0
    this.complete = other?.complete ?? true
    this.places = new Int32Array((FIELDS_MAX + 1) * PLACE.columns).fill(-1)
    this.steps = new Int32Array(fields)
    this.segments = new Int32Array(segments * SEGMENT.columns)
    this.segmentCount = other?.segmentCount ?? 0
    this.tailBytes = other?.tailBytes ?? 0
    this.runs = new Int32Array(runs * RUNS.columns)
    this.runCount = other?.runCount ?? 0
    this.pads = new Int32Array(pads * PADS.columns)
    this.padCount = other?.padCount ?? 0
    this.checked = new Uint8Array(checked)
    this.checkedCount = other?.checkedCount ?? 0
    if (other === undefined) return
    this.fields.set(other.fields.subarray(0, fields))
    this.places.set(other.places)
    this.steps.set(other.steps.subarray(0, fields))
    this.segments.set(other.segments.subarray(0, segments * SEGMENT.columns))
    this.runs.set(other.runs.subarray(0, runs * RUNS.columns))
    this.pads.set(other.pads.subarray(0, pads * PADS.columns))
    this.checked.set(other.checked.subarray(0, checked))
  }
}

const SLOT_SHIFT = Math.clz32(ARRANGEMENT_SLOTS) + 1

/** The arrangement of the fields in `bits` that the dialect keeps; null when it keeps none. */
export function keptArrangement(dialect: Dialect, bits: Int32Array): Arrangement | null {
  const kept = dialect.arrangements[hashOf(bits) >>> SLOT_SHIFT]!
  return kept !== null && kept.word0 === bits[0] && kept.word1 === bits[1] &&
    kept.word2 === bits[2] && kept.word3 === bits[3] && kept.word4 === bits[4] &&
    kept.word5 === bits[5] ? kept : null
}

/** Fills `own` for the fields in `bits`; the dialect keeps a copy when it saw them before. */
export function newArrangement(
  dialect: Dialect, bits: Int32Array, own: Arrangement,
): Arrangement {
  arrange(dialect, bits, own)
  const hash = hashOf(bits)
  const slot = hash >>> SLOT_SHIFT
  if (dialect.missed[slot] === hash) dialect.arrangements[slot] = new Arrangement(own)
  else dialect.missed[slot] = hash
  return own
}

function hashOf(bits: Int32Array): number {
  return Math.imul(bits[0]!, 0x9e3779b1) ^ Math.imul(bits[1]!, 0x85ebca6b) ^
    Math.imul(bits[2]!, 0xc2b2ae35) ^ Math.imul(bits[3]!, 0x27d4eb2f) ^
    Math.imul(bits[4]! ^ (bits[5]! << 7), 0x165667b1)
}

/** Fills `own` for the fields in `bits`. */
export function arrange(dialect: Dialect, bits: Int32Array, own: Arrangement): void {
  start(own, bits)
  let segment = 0
  let offset = 0
  let run: number = RUN.none
  for (let index = 0; index < 6; index++) {
    for (let word = bits[index]!; word !== 0 && own.complete;) {
      const bit = Math.clz32(word)
      word &= ~(0x80000000 >>> bit)
      const field = index * 32 + bit + 1
      own.fields[own.fieldCount++] = field
      if (dialect.known[field] !== 1) {
        own.complete = false
        break
      }
      own.steps[own.fieldCount - 1] = field | (dialect.fixedBytes[field]! << STEP.bytesAt) |
        (dialect.prefixBytes[field]! << STEP.prefixBytesAt) |
        (dialect.textKind[field]! << STEP.textKindAt)
      const next = dialect.run[field]!
      const value = offset + dialect.prefixBytes[field]!
      if (next !== run) {
        if (run !== RUN.none) endRun(own, segment, offset)
        if (next !== RUN.none) startRun(own, next, segment, value)
        run = next
      }
      const check = dialect.check[field]!
      if (next === RUN.none && check > CHECK.ebcdic && check !== CHECK.bcdNibbles) {
        own.checked[own.checkedCount++] = field
      }
      const at = field * PLACE.columns
      own.places[at] = segment
      own.places[at + PLACE.startOffset] = value
      if (dialect.prefix[field] === PREFIX.none) {
        if (next === RUN.bcd && (dialect.countMax[field]! & 1) === 1) {
          addPad(dialect, own, segment, offset, field)
        }
        offset += dialect.fixedBytes[field]!
      } else {
        endSegment(dialect, own, segment, offset, field)
        segment++
        offset = 0
      }
      own.places[at + PLACE.endSegment] = segment
      own.places[at + PLACE.endOffset] = offset
    }
  }
  if (run !== RUN.none) endRun(own, segment, offset)
  own.segmentCount = segment
  own.tailBytes = offset
}

function start(own: Arrangement, bits: Int32Array): void {
  own.bits.set(bits)
  own.word0 = bits[0]!
  own.word1 = bits[1]!
  own.word2 = bits[2]!
  own.word3 = bits[3]!
  own.word4 = bits[4]!
  own.word5 = bits[5]!
  own.places.fill(-1)
  own.fieldCount = 0
  own.complete = true
  own.runCount = 0
  own.padCount = 0
  own.checkedCount = 0
}

function addPad(
  dialect: Dialect, own: Arrangement, segment: number, offset: number, field: number,
): void {
  const at = own.padCount++ * PADS.columns
  const left = dialect.form[field] === FORM.bcdLeft
  own.pads[at] = segment
  own.pads[at + PADS.offset] = left ? offset + dialect.fixedBytes[field]! - 1 : offset
  own.pads[at + PADS.mask] = left ? 0x0f : 0xf0
}

function startRun(own: Arrangement, kind: number, segment: number, offset: number): void {
  const at = own.runCount * RUNS.columns
  own.runs[at] = kind
  own.runs[at + RUNS.startSegment] = segment
  own.runs[at + RUNS.startOffset] = offset
}

function endRun(own: Arrangement, segment: number, offset: number): void {
  const at = own.runCount++ * RUNS.columns
  own.runs[at + RUNS.endSegment] = segment
  own.runs[at + RUNS.endOffset] = offset
}

function endSegment(
  dialect: Dialect, own: Arrangement, segment: number, fixedBytes: number, field: number,
): void {
  const at = segment * SEGMENT.columns
  const form = dialect.form[field]!
  const plain = form === FORM.characters || form === FORM.hex ||
    dialect.prefixUnit[field] === UNIT.digits
  own.segments[at] = fixedBytes
  own.segments[at + SEGMENT.length] = dialect.countMax[field]! |
    (dialect.prefixBytes[field]! << LENGTH.prefixBytesAt) |
    ((dialect.prefix[field]! - 1) << LENGTH.tableAt) | (form << LENGTH.formAt) |
    (plain ? LENGTH.plain : 0) | (dialect.run[field] !== RUN.bcd ? 0
      : form === FORM.bcdLeft ? LENGTH.padLeft : LENGTH.padRight)
  own.segments[at + SEGMENT.countMin] = dialect.countMin[field]!
  own.segments[at + SEGMENT.field] = field
}
