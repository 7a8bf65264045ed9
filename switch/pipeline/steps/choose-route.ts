/**
 * Where does this card's transaction go? The longest matching prefix decides; there is no default (behaviours.md H51).
 */

import { chooseRoute as choose } from '../../../routing/choose.ts'
import { refuse, type Context, type Next } from '../context.ts'
import type { Txn } from '../txn.ts'

export function chooseRoute(txn: Txn, context: Context): Next {
  const profile = context.profiles.get(txn.link.settings.name)
  if (!txn.pan || !profile) return refuse(txn, 'malfunction')
  const found = choose(context.bins, txn.pan.reveal(), (link) => context.links.get(link)?.ready() ?? false)
  txn.note(context.clock.wallMs(), 'route.chosen', found.kind === 'link' ? found.link : found.kind)
  if (found.kind === 'on_us') {
    txn.route = 'on_us'
    txn.issuer = context.issuers.get(found.issuer) ?? null
    return 'next'
  }
  if (found.kind === 'no_route') return refuse(txn, 'no_such_issuer')
  if (found.kind === 'link_down') return refuse(txn, 'issuer_unavailable')
  const allowed = profile.mayReach.includes('any') || profile.mayReach.includes(found.link)
  if (!allowed || found.link === txn.link.settings.name) return refuse(txn, 'no_route')
  txn.route = found.link
  return 'next'
}
