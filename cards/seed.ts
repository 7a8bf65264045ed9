/**
 * Puts the demonstration's cards and accounts into a migrated database.
 *
 * Called by `switchyard start` in the demonstration, and by tests. Running it again adds what is
 * missing and changes nothing that is there. It must never see a PAN or PIN: tokens and PVVs come
 * from the caller, who has vault and token.
 */
import type { Card } from '../switch/journal/port.ts'

/** Where opening balances come from: the bank's own side of the demonstration. */
export const FUNDING_ACCOUNT = 'funding:demo'

/** A card and the account behind it. Several cards may name one account; the first one opens it. */
export interface DemonstrationCard extends Omit<Card, 'accountId' | 'panToken'> {
  panToken: Uint8Array // 32 bytes
  accountCode: string // 'customer:...'
  currency: string // ISO 4217 numeric
  openingBalanceMinor: number // 0 or more
  floorMinor: number // 0, or minus the overdraft
  dailyCountMax: number | null // debits a day; null for any number
}

/**
 * What seeding needs of a connection; a pg.Client is one. Not a Pool: the statements are one
 * transaction.
 */
export interface SeedConnection {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}

/**
 * Inserts accounts with their opening postings, and cards; idempotent, one transaction.
 *
 * @param connection one connection to a migrated database
 * @param cards with PVV or PIN offset as computed by the caller
 * @param businessDate YYYY-MM-DD of the opening postings
 * @throws the database's error, with nothing done
 */
export async function seedDemonstration(
  connection: SeedConnection,
  cards: readonly DemonstrationCard[],
  businessDate: string,
): Promise<void> {
  await connection.query('BEGIN')
  try {
    for (const card of cards) {
      await openAccount(connection, card, businessDate)
      await addCard(connection, card)
    }
    await connection.query('COMMIT')
  } catch (error) {
    await connection.query('ROLLBACK')
    throw error
  }
}

/** Only whoever opens the account posts the opening balance, so a second run posts nothing. */
async function openAccount(
  connection: SeedConnection,
  card: DemonstrationCard,
  businessDate: string,
): Promise<void> {
  const opened = await connection.query(
    `INSERT INTO account (code, kind, currency, floor_minor) VALUES ($1, 'customer', $2, $3)
     ON CONFLICT DO NOTHING RETURNING id`,
    [card.accountCode, card.currency, card.floorMinor],
  )
  if (opened.rows.length === 0 || card.openingBalanceMinor === 0) return
  await connection.query(
    `INSERT INTO account (code, kind, currency) VALUES ($1, 'role', $2) ON CONFLICT DO NOTHING`,
    [FUNDING_ACCOUNT, card.currency],
  )
  await connection.query(
    `INSERT INTO posting (memo, debit_account, credit_account, amount_minor, currency,
       business_date)
     SELECT 'opening balance', f.id, c.id, $1, $2, $3 FROM account f, account c
     WHERE f.code = $4 AND f.currency = $2 AND c.code = $5 AND c.currency = $2`,
    [card.openingBalanceMinor, card.currency, businessDate, FUNDING_ACCOUNT, card.accountCode],
  )
}

async function addCard(connection: SeedConnection, card: DemonstrationCard): Promise<void> {
  await connection.query(
    `INSERT INTO card (pan_token, account_id, status, expiry, pvki, pvv, pin_offset, pin_tries_left,
       pan_sequence, key_set, daily_limit_minor, daily_count_max)
     SELECT $1, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM account
     WHERE code = $2 AND kind = 'customer'
     ON CONFLICT (pan_token) DO NOTHING`,
    [
      card.panToken,
      card.accountCode,
      card.status,
      card.expiry,
      card.pvki,
      card.pvv,
      card.pinOffset,
      card.pinTriesLeft,
      card.panSequence,
      card.keySet,
      card.dailyLimitMinor,
      card.dailyCountMax,
    ],
  )
}
