// One start of the demonstration's tokens in a process of its own, for demonstration.test.ts:
// node demonstration-test-start.ts HOME MODULE. Prints a fingerprint of the keys, never a key.

import { createHash } from 'node:crypto'

import {
  DEMONSTRATION_KEYS,
  DEMONSTRATION_TERMINALS,
  provisionDemonstration,
} from './demonstration.ts'
import { TokenSession } from './pkcs11/session.ts'
import { openToken } from './pkcs11/token.ts'
import { keysIn } from './pkcs11/token-objects.ts'

const [home = '', module = ''] = process.argv.slice(2)

function say(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${text}\n`, () => resolve()))
}

await say('begin')
try {
  const tokens = await provisionDemonstration({ home, module })
  const hash = createHash('sha256')
  for (let round = 0; round < 10; round++) {
    // Other starts do the same at this moment: logins of several processes must not disturb.
    for (const address of [tokens.bank, tokens.outside]) TokenSession.open(address).close()
  }
  for (const address of [tokens.bank, tokens.outside]) {
    const session = TokenSession.open(address)
    const names = keysIn(session).map((key) => key.name)
    const wanted = address === tokens.bank ? DEMONSTRATION_KEYS : DEMONSTRATION_KEYS.slice(2)
    const missing = wanted.filter((name) => names.filter((one) => one === name).length !== 1)
    if (missing.length > 0) throw new Error(`missing in ${address.tokenLabel}: ${missing.join()}`)
    session.close()
    const token = openToken(address)
    for (const terminal of DEMONSTRATION_TERMINALS) {
      hash.update(token.cipher(`demo.tmk.${terminal}`).encryptEcb(new Uint8Array(8)))
    }
    token.close()
  }
  await say(`complete, keys ${hash.digest('hex').slice(0, 16)}`)
} catch (error) {
  await say(error instanceof Error ? error.message : 'failed')
  process.exitCode = 1
}
