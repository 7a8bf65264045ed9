// Why an act of officers was refused, by the program or by a constraint of the database. Thrown by
// this folder and hsm/ceremony; the commands print its text, which never holds a secret.

/** A refusal whose text says what is wrong; `next` what to do about it. */
export class OfficerRefusal extends Error {
  readonly next: string

  constructor(message: string, next = '') {
    super(message)
    this.name = 'OfficerRefusal'
    this.next = next
  }
}

/** Texts of the database's constraints for people. */
const CONSTRAINTS: Readonly<Record<string, string>> = {
  two_officers: 'the proposer cannot decide on their own proposal',
  decided_in_time: 'the approval has expired',
  used_in_time: 'the approval has expired',
  auditor_alone: 'an auditor has no other role',
  one_part_each: 'nobody brings two components of one key',
  officer_pkey: 'an officer of this name is or was there; names are not used again',
  officer_public_key_key: 'this key pair belongs to another officer',
  key_inventory_active: 'a key of this name is there already',
}

/** The refusal behind an error of the database, or the error itself. */
export function refusalOf(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error
  const { code, constraint } = error as { code?: unknown; constraint?: unknown }
  const known = typeof constraint === 'string' ? CONSTRAINTS[constraint] : undefined
  if (known !== undefined) return new OfficerRefusal(known)
  // Texts of our own triggers (migration 0007) name no data.
  const ours = code === 'SY001' || code === 'SY005' || code === 'SY006'
  return ours ? new OfficerRefusal(error.message) : error
}
