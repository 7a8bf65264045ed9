/**
 * Chip data of a declined answer: the card must see the same code that DE39 carries (emv-pboc.md
 * section 7).
 *
 * An approval's ARPC came with the verification; a decline needs its own code in it. Without a good
 * ARQC there is none.
 */

import { isApproved } from '../../reasons.ts'
import { tlvLookup } from '../chip-data.ts'
import type { Context, Next } from '../context.ts'
import { issuerAuthentication } from './verify-cryptogram.ts'
import type { Txn } from '../txn.ts'

export async function makeArpc(txn: Txn, context: Context): Promise<Next> {
  if (isApproved(txn.answer.reason) || txn.cryptogramFound !== 'ok') return 'answer'
  txn.answerIcc = null
  const { icc, card, issuer, pan } = txn
  const lookup = icc ? tlvLookup(icc) : null
  const atc = lookup?.(0x9f36)
  const arqc = lookup?.(0x9f26)
  if (!card || !issuer || !pan || !atc || !arqc) return 'answer'
  const code = txn.link.settings.meaning.response_codes[txn.answer.reason] ?? '05'
  const result = await context.hsm.generateArpc({
    imk: issuer.imkAc,
    scheme: issuer.cryptogramScheme,
    pan: pan.reveal(),
    panSequence: card.panSequence,
    atc,
    arqc,
    responseCode: code,
  })
  if (result.outcome === 'ok') txn.answerIcc = issuerAuthentication(result.value)
  return 'answer'
}
