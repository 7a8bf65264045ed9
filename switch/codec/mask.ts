/**
 * Masks the text of fields by their secrecy class, for logs, traces and tools.
 *
 * Fails closed: text that does not look like what its class expects is masked whole. The length is
 * kept, because structure is what a reader needs. Never returns its input for a class other than
 * `no` unless there is nothing in it.
 */
import type { Dialect } from './dialect.ts'
import type { SecrecyClass } from './spec.ts'

const PAN_DIGITS_MIN = 13
const PAN_DIGITS_MAX = 19
const STAR = '*'

/**
 * First six and last four characters of a PAN, the rest as stars; shorter text as stars only (PCI
 * DSS 3.4.1).
 */
export function maskPan(text: string): string {
  if (text.length < PAN_DIGITS_MIN) return STAR.repeat(text.length)
  return text.slice(0, 6) + STAR.repeat(text.length - 10) + text.slice(-4)
}

/**
 * A track with its PAN masked and everything after the separator as stars; as stars only when it
 * has no PAN.
 */
export function maskTrack(text: string): string {
  const found = /^%?B?([0-9]{13,19})[=D^]/.exec(text)
  if (found === null) return STAR.repeat(text.length)
  const pan = found[1] ?? ''
  const start = found[0].length - pan.length - 1
  return STAR.repeat(start) + maskPan(pan) + text.charAt(found[0].length - 1) +
    STAR.repeat(text.length - found[0].length)
}

/** Text as its secrecy class lets it be shown, in its own length. */
export function maskByClass(secrecy: SecrecyClass, text: string): string {
  switch (secrecy) {
    case 'no':
      return text
    case 'pan':
      return maskPan(text)
    case 'track':
      return maskTrack(text)
    default:
      return STAR.repeat(text.length)
  }
}

/**
 * Text of a field as it may be shown: by its class, and card numbers in private fields found by
 * their check digit.
 */
export function maskField(dialect: Dialect, field: number, text: string): string {
  const secrecy = dialect.secrecyOf(field)
  if (secrecy !== 'no') return maskByClass(secrecy, text)
  // What is divided into known positions or sub-fields holds no card number but where it says so.
  const shape = dialect.shapeOf(field)
  const known = shape === 'positions' || shape === 'visa-bitmap-8' || shape === 'visa-bitmap-3'
  return isPrivate(field) && !known ? maskCardNumbers(text) : text
}

/**
 * Fields whose content the standard leaves to schemes and banks: a card number may turn up in them.
 */
function isPrivate(field: number): boolean {
  return field === 34 || (field >= 43 && field <= 48) || (field >= 54 && field <= 63) ||
    (field >= 98 && field <= 127) || field > 128
}

const HEX_MARK = 'hex:'

/**
 * Masks stretches of digits that have the form of a card number: an issuer prefix in use, its usual
 * length or the length of the stretch, and a right check digit. In `hex:` text the digits are
 * looked for as ASCII and EBCDIC characters.
 */
export function maskCardNumbers(text: string): string {
  if (!text.startsWith(HEX_MARK)) return text.replace(/[0-9]{13,}/g, (run) => maskRun(run))
  const pairs = text.slice(HEX_MARK.length).match(/../g) ?? []
  const characters = pairs.map((pair) => (/^[3F][0-9]$/.test(pair) ? pair.charAt(1) : ' ')).join('')
  const masked = characters.replace(/[0-9]{13,}/g, (run) => maskRun(run))
  return HEX_MARK + pairs.map((pair, i) => (masked.charAt(i) === STAR ? '**' : pair)).join('')
}

function maskRun(digits: string): string {
  let out = ''
  let at = 0
  while (at < digits.length) {
    const length = cardNumberAt(digits, at)
    out += length === 0 ? digits.charAt(at) : maskPan(digits.slice(at, at + length))
    at += Math.max(length, 1)
  }
  return out
}

/**
 * First digits of card numbers: Visa, Mastercard, AmEx, Diners, JCB, UnionPay and the 6 and 9
 * ranges (ISO/IEC 7812).
 */
const ISSUER_PREFIX = /^(?:4|5[0-8]|2[2-7]|3[0-9]|6|81|9)/

/** Digits of a card number that begins at `at`; 0 when there is none. */
function cardNumberAt(digits: string, at: number): number {
  if (!ISSUER_PREFIX.test(digits.slice(at, at + 2))) return 0
  const rest = digits.length - at
  for (const length of at === 0 && rest <= PAN_DIGITS_MAX ? [rest] : [19, 16, 15]) {
    if (length >= PAN_DIGITS_MIN && length <= rest && checkDigitRight(digits, at, length)) {
      return length
    }
  }
  return 0
}

/** ISO/IEC 7812-1 annex B. */
function checkDigitRight(digits: string, at: number, length: number): boolean {
  let sum = 0
  for (let i = 0; i < length; i++) {
    const digit = digits.charCodeAt(at + length - 1 - i) - 0x30
    const doubled = (i & 1) === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}
