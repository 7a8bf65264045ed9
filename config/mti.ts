/**
 * What the four digits of a message type say (ISO 8583:1987 and 1993, clause 4.1).
 *
 * Used by reference pages and `switchyard message describe`. It judges nothing: digits that the
 * standard reserves read as `reserved`.
 */

const VERSION: Readonly<Record<string, string>> = { 0: '1987', 1: '1993', 2: '2003', 9: 'private' }
const CLASS: Readonly<Record<string, string>> = {
  1: 'authorization', 2: 'financial', 3: 'file action', 4: 'reversal', 5: 'reconciliation',
  6: 'administrative', 7: 'fee collection', 8: 'network management',
}
const FUNCTION: Readonly<Record<string, string>> = {
  0: 'request', 1: 'request response', 2: 'advice', 3: 'advice response', 4: 'notification',
  5: 'notification acknowledgement', 6: 'instruction', 7: 'instruction acknowledgement',
  8: 'acknowledgement', 9: 'negative acknowledgement',
}
const ORIGIN: Readonly<Record<string, string>> = {
  0: 'acquirer', 1: 'acquirer, repeat', 2: 'issuer', 3: 'issuer, repeat', 4: 'other',
  5: 'other, repeat',
}

/** `0421` as `reversal advice, acquirer, repeat (1987)`. */
export function mtiWords(mti: string): string {
  const [version = '', kind = '', purpose = '', origin = ''] = mti
  const say = (table: Readonly<Record<string, string>>, digit: string): string =>
    table[digit] ?? 'reserved'
  return `${say(CLASS, kind)} ${say(FUNCTION, purpose)}, ${say(ORIGIN, origin)} ` +
    `(${say(VERSION, version)})`
}
