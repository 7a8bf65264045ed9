// What a demonstration needs before its switch can run: tokens with keys, cards with PVVs and
// accounts with money. Called by the supervisor; all of it may be done again at every start and
// then changes nothing. It must never run outside a demonstration, nor print a PAN.
import pg from 'pg'
import { seedDemonstration, type DemonstrationCard } from '../../cards/seed.ts'
import type { SwitchConfig } from '../../config/schema.ts'
import { DEMONSTRATION_VAULT, provisionDemonstration } from '../../hsm/demonstration.ts'
import { findModule, SOFTHSM_PATHS } from '../../hsm/pkcs11/module-path.ts'
import { TokenSession, type TokenAddress } from '../../hsm/pkcs11/session.ts'
import { openToken } from '../../hsm/pkcs11/token.ts'
import { vaultSecretsOf } from '../../hsm/pkcs11/vault-secrets.ts'
import { demonstrationCards } from '../../simulators/cards.ts'
import { Calendar } from '../../switch/pipeline/calendar.ts'
import { PanVault } from '../../switch/pan-vault.ts'
import { systemClock } from '../../switch/runtime/clock.ts'
import { systemRandom } from '../../switch/runtime/random.ts'
import { Pan } from '../../switch/secrets.ts'

/** Name under which the demonstration's issuer keys stand in the card table. */
const KEY_SET = 'demo.issuer'

/** Wrong PINs a new card allows; the configuration of the issuer says so. */
const PIN_TRIES_DEFAULT = 3

/**
 * Makes tokens, keys, cards and accounts that are missing.
 *
 * @param databaseUrl of a migrated database
 * @throws DemonstrationFault, TokenFault or the database's error; each says what is wrong
 */
export async function prepareDemonstration(
  config: SwitchConfig,
  home: string,
  databaseUrl: string,
): Promise<void> {
  const module = findModule(undefined, SOFTHSM_PATHS)
  if (module === null) throw new Error('SoftHSM is not installed; run: sh scripts/setup.sh')
  const { bank } = await provisionDemonstration({ home, module })
  const cards = cardsOf(bank, config)
  const { time_zone: zone, business_date: cutover } = config
  const calendar = new Calendar(systemClock, zone, cutover.cutover_local_time)
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await seedDemonstration(client, cards, calendar.businessDate())
  } finally {
    await client.end()
  }
}

function cardsOf(bank: TokenAddress, config: SwitchConfig): DemonstrationCard[] {
  const vault = vaultOf(bank)
  const token = openToken(bank)
  try {
    return demonstrationCards(token).map((card): DemonstrationCard => {
      return {
        panToken: vault.token(new Pan(card.pan)),
        accountCode: `customer:${card.name}`,
        currency: card.currency,
        openingBalanceMinor: Number(card.openingBalanceMinor),
        floorMinor: 0,
        dailyCountMax: null,
        status: 'active',
        expiry: card.expiry,
        pvki: card.pvki,
        pvv: card.pvv,
        pinOffset: '',
        pinTriesLeft: config.issuers[0]?.pin_tries_max ?? PIN_TRIES_DEFAULT,
        panSequence: card.sequence,
        keySet: KEY_SET,
        dailyLimitMinor: Number(card.dailyLimitMinor),
      }
    })
  } finally {
    token.close()
  }
}

/** The switch's own vault: a card is found by the token that the switch will compute. */
function vaultOf(bank: TokenAddress): PanVault {
  const session = TokenSession.open(bank)
  try {
    const key = session.findKeys(DEMONSTRATION_VAULT)[0]
    if (key === undefined) throw new Error('the token has no vault key; remove the data directory')
    const secrets = vaultSecretsOf(session, key, DEMONSTRATION_VAULT)
    const vault = new PanVault(secrets, systemRandom)
    secrets.seal.fill(0)
    secrets.token.fill(0)
    return vault
  } finally {
    session.close()
  }
}
