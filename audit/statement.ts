// What an officer signs: one act, about one thing, bound to the SHA-256 of an exact payload and to
// a challenge of its own, so that no signature serves twice. PURE. Used by hsm/officers to make and
// check statements and by audit/replay.ts to check them again from the audit log alone.

import { createPublicKey, verify } from 'node:crypto'

/** Acts that officers sign. */
export type StatementAct = 'join' | 'log_in' | 'propose' | 'approve' | 'reject' | 'bring_component'

export interface Statement {
  readonly act: StatementAct
  readonly officer: string
  readonly subject: string // the approval, or what the act is about
  readonly payloadSha256: string // lower-case hex
  readonly challenge: string // 32 random bytes, lower-case hex
  readonly atMs: number
}

/** The text that is signed: one line a field. */
export function statementText(statement: Statement): string {
  const { act, officer, subject, payloadSha256, challenge, atMs } = statement
  const fields = [act, officer, subject, payloadSha256, challenge, atMs]
  return ['switchyard statement 1', ...fields].join('\n')
}

/** The statement of a text, or null when it is none. */
export function parseStatement(text: string): Statement | null {
  const lines = text.split('\n')
  if (lines.length !== 7 || lines[0] !== 'switchyard statement 1') return null
  const [, act, officer, subject, payloadSha256, challenge, atMs] = lines as string[]
  return {
    act: (act ?? '') as StatementAct,
    officer: officer ?? '',
    subject: subject ?? '',
    payloadSha256: payloadSha256 ?? '',
    challenge: challenge ?? '',
    atMs: Number(atMs),
  }
}

const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex') // RFC 8410

/** Whether an Ed25519 signature of a text is that of a public key; all bytes in hex. */
export function isSignedBy(publicKey: string, text: string, signature: string): boolean {
  try {
    const der = Buffer.concat([SPKI_HEAD, Buffer.from(publicKey, 'hex')])
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' })
    return verify(null, Buffer.from(text, 'utf8'), key, Buffer.from(signature, 'hex'))
  } catch {
    return false // not a key
  }
}
