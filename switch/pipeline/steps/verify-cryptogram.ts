/**
 * Did the chip make this cryptogram? Verified in the token, which makes the ARPC of an approval in
 * the same call.
 *
 * The bytes it covers are those of DE55 (emv-pboc.md section 6). What cannot be read is a wrong
 * cryptogram, never a pass.
 */

import { cryptogramInput } from '../../../emv/cryptogram-input.ts'
import { EmvError } from '../../../emv/faults.ts'
import { tlvLookup, type TlvLookup } from '../chip-data.ts'
import { refuse, type Context, type Next } from '../context.ts'
import type { Txn } from '../txn.ts'

const TAG_ATC = 0x9f36
const TAG_CRYPTOGRAM = 0x9f26
const TAG_CID = 0x9f27
const TAG_AMOUNT = 0x9f02
const TAG_CURRENCY = 0x5f2a
const CID_ARQC = 0x80
const CID_TYPE_MASK = 0xc0

export async function verifyCryptogram(txn: Txn, context: Context): Promise<Next> {
  const { icc, card, issuer, pan } = txn
  if (!icc) return 'next'
  if (!card || !issuer || !pan) return refuse(txn, 'malfunction')
  const lookup = tlvLookup(icc)
  if (!lookup) return refuse(txn, 'format_error')
  const call = callOf(lookup, issuer.cryptogramScheme)
  if (!call || !sameTransaction(txn, lookup)) {
    txn.cryptogramFound = 'bad'
    return 'next'
  }
  const result = await context.hsm.verifyArqc({
    imk: issuer.imkAc,
    scheme: issuer.cryptogramScheme,
    pan: pan.reveal(),
    panSequence: card.panSequence,
    ...call,
    responseCode: '00',
  })
  txn.note(context.clock.wallMs(), 'token.verify_arqc', result.outcome)
  if (result.outcome === 'ok') {
    txn.cryptogramFound = 'ok'
    txn.answerIcc = issuerAuthentication(result.value)
    return 'next'
  }
  if (result.outcome === 'arqc_mismatch') {
    txn.cryptogramFound = 'bad'
    return 'next'
  }
  return refuse(txn, 'token_unavailable')
}

/**
 * The chip data must be of this transaction: amount and currency of the message stand in them
 * (a balance inquiry has none). Otherwise an old cryptogram would carry another amount.
 */
function sameTransaction(txn: Txn, lookup: TlvLookup): boolean {
  if (txn.kind === 'balance') return true
  const amount = lookup(TAG_AMOUNT)
  const currency = lookup(TAG_CURRENCY)
  if (!amount || !currency) return false
  const digits = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  if (Number(digits(amount)) !== txn.amountMinor) return false
  return digits(currency).padStart(4, '0') === txn.currency.padStart(4, '0')
}

/**
 * What the token needs of the chip data; null when the data cannot carry an ARQC of this scheme.
 */
function callOf(
  lookup: TlvLookup,
  scheme: Parameters<typeof cryptogramInput>[0],
): { data: Uint8Array; atc: Uint8Array; arqc: Uint8Array } | null {
  const atc = lookup(TAG_ATC)
  const arqc = lookup(TAG_CRYPTOGRAM)
  const cid = lookup(TAG_CID)
  if (!atc || atc.length !== 2 || !arqc || arqc.length !== 8) return null
  if (cid && (cid.length !== 1 || (cid[0]! & CID_TYPE_MASK) !== CID_ARQC)) return null
  try {
    return { data: cryptogramInput(scheme, lookup), atc, arqc }
  } catch (error) {
    if (error instanceof EmvError) return null
    throw error
  }
}

/** Tag 91 with its value: issuer authentication data. */
export function issuerAuthentication(value: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([0x91, value.length]), value])
}
