// Makes the token agree with the inventory: names what was committed, moves replaced keys aside,
// destroys retired ones and what an interrupted command left. Run at the start and the end of every
// command that changes keys; doing it twice changes nothing. It must never touch a key that
// officers did not make (the demonstration's, or another program's).

import type { TokenSession } from '../pkcs11/session.ts'
import { idOf, singleLabel } from '../pkcs11/token-objects.ts'
import type { InventoryKey } from './inventory.ts'
import type { OfficerUsage } from './key-plan.ts'
import { keptKeys, keysOfId, setLabel } from './token-calls.ts'

/** Behind the label of an object whose key the database does not know yet. */
export const UNFINISHED_SUFFIX = '#unfinished'

/** Label of the generation before the one in force. */
export function previousLabel(name: string): string {
  return `${name}@previous`
}

/** CKA_ID of one generation of a key. */
export function objectId(usage: OfficerUsage, label: string, generation: number): string {
  return generation === 1 ? idOf(usage, label) : `${idOf(usage, label)}.g${generation}`
}

/** What settling did, for the one who asked. */
export interface Settled {
  readonly named: readonly string[]
  readonly destroyed: readonly string[]
}

/** Brings the token to what the inventory says. */
export function settle(session: TokenSession, inventory: readonly InventoryKey[]): Settled {
  const named: string[] = []
  const destroyed: string[] = []
  const known = new Set<string>()
  const byAge = [...inventory].sort((a, b) => a.generation - b.generation)
  for (const key of byAge) {
    if (key.place !== 'token') continue
    for (const label of [key.name, singleLabel(key.name)]) {
      const id = objectId(key.usage, label, key.generation)
      known.add(id)
      const wanted = wantedLabel(key, label)
      for (const handle of keysOfId(session, id)) {
        if (wanted === null) {
          session.destroy(handle)
          destroyed.push(label)
        } else if (labelOf(session, id) !== wanted) {
          setLabel(session, handle, wanted)
          named.push(wanted)
        }
      }
    }
  }
  for (const { key, label, id } of keptKeys(session)) {
    if (!label.endsWith(UNFINISHED_SUFFIX) || known.has(id)) continue
    session.destroy(key)
    destroyed.push(label)
  }
  return { named, destroyed }
}

function wantedLabel(key: InventoryKey, label: string): string | null {
  if (key.state === 'retired') return null
  return key.state === 'active' ? label : previousLabel(label)
}

function labelOf(session: TokenSession, id: string): string {
  return keptKeys(session).find((kept) => kept.id === id)?.label ?? ''
}
