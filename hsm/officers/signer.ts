// An officer at work: a key file that was opened, and statements signed with it. Called by
// hsm/officers and hsm/ceremony; made by console/keys/ from a passphrase prompt.

import { statementText } from '../../audit/statement.ts'
import type { StatementAct } from '../../audit/statement.ts'
import type { Clock } from '../../switch/runtime/clock.ts'
import type { Random } from '../../switch/runtime/random.ts'
import type { OfficerKey } from './key-file.ts'

const CHALLENGE_BYTES = 32

/** A signed statement as it is stored. */
export interface Signed {
  readonly statement: string
  readonly signature: string // lower-case hex
}

/** An officer whose passphrase was right. */
export interface Signer {
  readonly name: string
  readonly publicKey: string
  /** Signs an act over a payload with a fresh challenge. */
  sign(act: StatementAct, subject: string, payloadSha256: string): Signed
}

/** The signer of an opened key. */
export function signerOf(key: OfficerKey, clock: Clock, random: Random): Signer {
  return {
    name: key.name,
    publicKey: key.publicKey,
    sign(act, subject, payloadSha256): Signed {
      const challenge = random.bytes(CHALLENGE_BYTES).toString('hex')
      const atMs = clock.wallMs()
      const statement = statementText({
        act,
        officer: key.name,
        subject,
        payloadSha256,
        challenge,
        atMs,
      })
      return { statement, signature: key.sign(statement) }
    },
  }
}
