/**
 * The vault: what it seals opens again, what was altered does not, and nothing of a PAN is visible.
 */

import { inspect } from 'node:util'
import t from 'tap'
import { seededRandom } from './runtime/random.ts'
import { PanVault } from './pan-vault.ts'
import { maskPan, Pan, Secret } from './secrets.ts'

const keys = { seal: new Uint8Array(32).fill(1), token: new Uint8Array(32).fill(2) }
const vault = new PanVault(keys, seededRandom(7))
const pan = new Pan('6223001000001376')

t.test('a sealed PAN opens again; two seals of it differ', async (t) => {
  const sealed = vault.seal(pan)
  t.equal(vault.open(sealed)?.reveal(), pan.reveal())
  t.notSame(vault.seal(pan), sealed)
  t.notOk(sealed.toString('latin1').includes(pan.reveal()))
})

t.test('an altered seal, a short one and one of another vault do not open', async (t) => {
  const sealed = vault.seal(pan)
  for (let at = 0; at < sealed.length; at++) {
    const altered = Buffer.from(sealed)
    altered[at]! ^= 1
    t.equal(vault.open(altered), null)
  }
  t.equal(vault.open(sealed.subarray(0, 20)), null)
  const other = new PanVault({ ...keys, seal: new Uint8Array(32).fill(9) }, seededRandom(7))
  t.equal(other.open(sealed), null)
})

t.test('equal PANs have equal tokens, other PANs and other keys other ones', async (t) => {
  t.same(vault.token(pan), vault.token(new Pan(pan.reveal())))
  t.notSame(vault.token(pan), vault.token(new Pan('6223001000002747')))
})

t.test('nothing that prints a PAN or a secret shows it', async (t) => {
  const secret = new Secret('track2', '6223001000001376=31122010000000000')
  for (const text of [String(pan), JSON.stringify({ pan }), inspect(pan), `${pan}`]) {
    t.match(text, '622300******1376')
    t.notMatch(text, pan.reveal())
  }
  for (const text of [String(secret), JSON.stringify({ secret }), inspect({ secret })]) {
    t.match(text, '[track2]')
    t.notMatch(text, '1376')
  }
})

t.test('what does not look like a PAN is masked whole', async (t) => {
  for (const odd of ['12345', '62230010000013a6', '6223 0010 0000 1376', '1'.repeat(25)]) {
    t.match(maskPan(odd), /^\*+$/)
  }
})
