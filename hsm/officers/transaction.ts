// One transaction of officers' work: all of it or nothing. Called by hsm/officers and
// hsm/ceremony. Refusals of the database's constraints come out as OfficerRefusal.

import type { Client } from 'pg'

import { refusalOf } from './refusal.ts'

/** Runs `work` between BEGIN and COMMIT. Throws OfficerRefusal or the database's error. */
export async function transaction<T>(sql: Client, work: () => Promise<T>): Promise<T> {
  await sql.query('BEGIN')
  try {
    const result = await work()
    await sql.query('COMMIT')
    return result
  } catch (error) {
    await sql.query('ROLLBACK').catch(() => undefined) // without a connection it is undone anyway
    throw refusalOf(error)
  }
}
