/**
 * Which working keys each network has delivered since its sign-on, and when they are all in force.
 *
 * Made by main.ts. A link with `keys_required` leaves `exchanging_keys` when every key it needs was
 * delivered; a network that sends none after a sign-on goes on with the keys of before, after a
 * short wait (behaviours.md G45, G48).
 */

import type { Link, LinkState } from '../link/contract.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import { keyNames, type LinkProfile } from './context.ts'

/** How long a network may take after sign-on before the keys of before are used, ms. */
export const KEY_DELIVERY_WAIT_MS = 1_500

export class ZoneKeys {
  readonly #clock: Clock
  readonly #profiles: ReadonlyMap<string, LinkProfile>
  readonly #known: (name: string) => Promise<boolean>
  readonly #missing = new Map<string, Set<string>>() // by link: key names not yet delivered
  readonly #timers = new Map<string, Timer>()

  /** @param known is there a key block of this name from before? */
  constructor(
    clock: Clock,
    profiles: ReadonlyMap<string, LinkProfile>,
    known: (name: string) => Promise<boolean>,
  ) {
    this.#clock = clock
    this.#profiles = profiles
    this.#known = known
  }

  /** Follows a link's life: a new exchange begins with each sign-on. */
  linkChanged(link: Link, to: LinkState): void {
    const name = link.settings.name
    this.#timers.get(name)?.cancel()
    this.#timers.delete(name)
    if (to !== 'exchanging_keys') return
    if (!this.#missing.has(name)) this.#missing.set(name, new Set(this.#needed(name)))
    if (this.#missing.get(name)?.size === 0) return this.#inForce(link)
    this.#waitForKeys(link)
  }

  /** A database that is away when the time is over is asked again a little later. */
  #waitForKeys(link: Link): void {
    const timer = this.#clock.after(KEY_DELIVERY_WAIT_MS, () => {
      this.#useOld(link).catch(() => {
        if (link.state === 'exchanging_keys') this.#waitForKeys(link)
      })
    })
    this.#timers.set(link.settings.name, timer)
  }

  /** A key of the link came and is kept. */
  delivered(link: Link, keyName: string): void {
    const name = link.settings.name
    const missing = this.#missing.get(name) ?? new Set(this.#needed(name))
    missing.delete(keyName)
    this.#missing.set(name, missing)
    if (missing.size === 0) this.#inForce(link)
  }

  #needed(name: string): string[] {
    const profile = this.#profiles.get(name)
    const pin = keyNames.zonePin(name)
    return profile?.macRequired ? [pin, keyNames.zoneMac(name)] : [pin]
  }

  #inForce(link: Link): void {
    this.#missing.delete(link.settings.name)
    link.keysInForce()
  }

  async #useOld(link: Link): Promise<void> {
    const names = this.#needed(link.settings.name)
    const known = await Promise.all(names.map((name) => this.#known(name)))
    if (known.every(Boolean) && link.state === 'exchanging_keys') this.#inForce(link)
  }
}
