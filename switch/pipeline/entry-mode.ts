/**
 * DE22 between the 1987 form (two digits of entry mode, one of PIN) and the twelve positions of
 * 1993.
 *
 * Used by read-request.ts and items.ts. Positions and values: ISO 8583:1993 annex, iso8583.md
 * section 5. Letters that networks add are read as unspecified: a table of a licensed document
 * would go here.
 */

import type { Txn } from './txn.ts'

/** Position 7 of 1993 (how the card was read) to the first two digits of 1987. */
const MODE_OF_INPUT: Readonly<Record<string, string>> = {
  0: '00', 1: '01', 2: '02', 3: '03', 4: '04', 5: '05', 6: '01', 7: '07', 8: '91', S: '81',
}

/** The other way; what is not listed is unspecified. */
const INPUT_OF_MODE: Readonly<Record<string, string>> = {
  '01': '1', '02': '2', '03': '3', '04': '4', '05': '5', '07': '7', '81': 'S', '90': '2', '91': '8',
  '95': '5',
}

/** Three digits of 1987: entry mode, then 1 with a PIN and 2 without. Empty for empty. */
export function entryModeOf93(code: string): string {
  if (code.length < 12) return ''
  return (MODE_OF_INPUT[code.charAt(6)] ?? '00') + (code.charAt(7) === '1' ? '1' : '2')
}

/** Twelve positions of 1993 for a transaction with the card there; empty without an entry mode. */
export function posDataCodeOf(txn: Txn): string {
  if (txn.entryMode.length < 2) return ''
  const atm = txn.condition === '02' || txn.kind === 'cash'
  const input = INPUT_OF_MODE[txn.entryMode.slice(0, 2)] ?? '0'
  const chip = input === '5' || input === '7'
  const pin = txn.entryMode.charAt(2) === '1'
  return [
    chip ? '5' : '2', // 1 what the terminal can read
    pin ? '1' : '0', // 2 how it can authenticate
    atm ? '1' : '0', // 3 card capture
    atm ? '2' : '1', // 4 unattended or attended, on premises
    input === 'S' ? '5' : '0', // 5 cardholder present, or electronic commerce
    input === 'S' ? '0' : '1', // 6 card present
    input, // 7 how the card was read
    pin ? '1' : '0', // 8 how the cardholder was authenticated
    pin ? '3' : '0', // 9 by whom: the authorizing agent
    chip ? '3' : '1', // 10 what the terminal can write to a card
    '4', // 11 prints and displays
    pin ? 'C' : '0', // 12 longest PIN: twelve digits
  ].join('')
}
