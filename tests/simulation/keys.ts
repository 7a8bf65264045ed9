/**
 * The keys of the simulated world: made from a fixed seed, so that PVVs and card keys are computed
 * once for all runs. Test keys only.
 */
import { visaPvv } from '../../hsm/algorithms/pin-verification.ts'
import type { BlockCipher } from '../../hsm/algorithms/cipher.ts'
import { withOddParity } from '../../hsm/algorithms/key-combination.ts'
import { tdesCipher } from '../../hsm/algorithms/software-ciphers.ts'
import type { KeyUsage } from '../../hsm/port.ts'
import type { SoftwareKey } from '../../hsm/software/software-hsm.ts'
import { CARDS, OWN_PVK, OWN_PVKI, pinOf, type SyntheticCard } from '../../simulators/cards.ts'
import { Chip, type ChipRequest } from '../../simulators/chip.ts'
import { Chance } from './chance.ts'

export const TERMINALS_MAX = 8

const chance = new Chance('keys of the simulation')

function key(usage: KeyUsage): SoftwareKey {
  return { usage, key: withOddParity(Uint8Array.from(chance.bytes(16))) }
}

/** Name of the master key of a terminal. */
export function terminalKeyName(terminal: string): string {
  return `demo.tmk.${terminal}`
}

export function terminalId(number: number): string {
  return String(10_000_001 + number)
}

/** Master keys by name, for the token and for the peers. */
export const MASTER_KEYS: Readonly<Record<string, SoftwareKey>> = {
  'demo.zmk.cups': key('kek'),
  'demo.zmk.visa': key('kek'),
  'demo.issuer.imk_ac': key('imk_ac'),
  [OWN_PVK]: key('pvk'),
  'demo.issuer.cvk': key('cvk'),
  ...Object.fromEntries(
    Array.from({ length: TERMINALS_MAX }, (_, n) => [terminalKeyName(terminalId(n)), key('kek')]),
  ),
}

const ciphers = new Map<string, BlockCipher>()

/** The cipher of a master key, as a peer holds it. */
export function cipherOf(name: string): BlockCipher {
  let cipher = ciphers.get(name)
  if (cipher === undefined) {
    const found = MASTER_KEYS[name]
    if (found === undefined) throw new Error(`no key ${name}`)
    cipher = tdesCipher(found.key)
    ciphers.set(name, cipher)
  }
  return cipher
}

/** DE55 of a chip for runs whose token believes every cryptogram; by card name. */
const BELIEVED_CHIPS: ReadonlyMap<string, ChipRequest> = new Map(
  CARDS.filter((card) => card.chip).map((card) => {
    const chip = new Chip(cipherOf('demo.issuer.imk_ac'), card).request({
      amountMinor: 100,
      currency: '156',
      date: '260105',
      type: '00',
      unpredictableNumber: new Uint8Array(4),
      atc: 1,
    })
    return [card.name, chip]
  }),
)

const AMOUNT_TAG = Buffer.from('9F0206', 'hex')

/**
 * What the chip of a card says of an amount where nobody computes its cryptogram; null when the
 * card has no chip.
 */
export function believedChip(card: SyntheticCard, amountMinor: number): ChipRequest | null {
  const model = BELIEVED_CHIPS.get(card.name)
  if (model === undefined) return null
  const data = Buffer.from(model.data)
  data.write(String(amountMinor).padStart(12, '0'), data.indexOf(AMOUNT_TAG) + 3, 'hex')
  return { ...model, data }
}

/** The bank's own cards with their PVVs. */
export const OWN_CARDS: ReadonlyArray<{ card: SyntheticCard; pvv: string }> = CARDS
  .filter((card) => card.issuer === 'own')
  .map((card) => {
    return { card, pvv: [...visaPvv(cipherOf(OWN_PVK), card.pan, OWN_PVKI, pinOf(card))].join('') }
  })
