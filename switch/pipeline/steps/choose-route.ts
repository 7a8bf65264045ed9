/**
 * Where does this card's transaction go? The longest matching prefix decides; there is no default
 * (behaviours.md H51).
 */

import { choose } from '../../../routing/choose.ts'
import { refuse, type Context, type Next } from '../context.ts'
import type { Txn } from '../txn.ts'

export function chooseRoute(txn: Txn, context: Context): Next {
  const profile = context.profiles.get(txn.link.settings.name)
  if (!txn.pan || !profile) return refuse(txn, 'malfunction')
  const digits = txn.pan.reveal()
  const found = choose(context.routes, digits, (link) => context.links.get(link)?.ready() ?? false)
  const target = found.to === 'link' ? found.link : found.to
  txn.note(context.clock.wallMs(), 'route.chosen', target)
  if (found.to === 'on_us') {
    txn.route = 'on_us'
    txn.issuer = context.issuerOf(digits)
    return txn.issuer ? 'next' : refuse(txn, 'no_such_issuer')
  }
  if (found.to === 'nowhere') {
    return refuse(txn, found.reason === 'no_route' ? 'no_such_issuer' : 'issuer_unavailable')
  }
  const allowed = profile.mayReach.includes('any') || profile.mayReach.includes(found.link)
  if (!allowed || found.link === txn.link.settings.name) return refuse(txn, 'no_route')
  txn.route = found.link
  return 'next'
}
