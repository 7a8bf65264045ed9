// Where a transaction goes: to our own authorizer, to a link, or nowhere and why.
// Called by the pipeline step selectRoute; PURE: the table and what is ready come in, a choice made
// beforehand goes out, so that choosing allocates nothing. It must never choose a link that the
// row does not list, nor an alternate before the caller knows that nothing was sent
// (behaviours 51 and 52).
import { BinTable, type BinRange } from './bin-table.ts'

/** One row as the configuration has it. */
export interface RouteRow {
  readonly prefix: string | null // digits
  readonly range: string | null // FIRST-LAST, equally many digits
  readonly to: string // 'on_us' or a link
  readonly alternates: readonly string[] // links, in order
}

/** `attempt`: 0 for the row's own destination, 1 for its first alternate ... */
export type Choice =
  | { readonly to: 'on_us' }
  | { readonly to: 'link'; readonly link: string; readonly attempt: number }
  | { readonly to: 'nowhere'; readonly reason: 'no_route' | 'link_down' }

const ON_US: Choice = Object.freeze({ to: 'on_us' })
const NO_ROUTE: Choice = Object.freeze({ to: 'nowhere', reason: 'no_route' })
const LINK_DOWN: Choice = Object.freeze({ to: 'nowhere', reason: 'link_down' })

/** A routing table ready for look-ups. */
export interface Routes {
  readonly table: BinTable
  readonly choices: ReadonlyArray<readonly Choice[]> // per row: destination, then alternates
}

/**
 * @param rows longest prefix or narrowest range wins; order does not matter
 * @throws RangeError for rows that collide or are no ranges (config check finds them before)
 */
export function buildRoutes(rows: readonly RouteRow[]): Routes {
  return { table: new BinTable(rows.map(rangeOf)), choices: rows.map(choicesOf) }
}

/**
 * @param pan 8 to 19 digits
 * @param ready may financials be sent on this link now?
 * @param from first attempt to consider: 0 at first; a choice's attempt + 1 when it is known that
 *   nothing was sent there
 */
export function choose(
  routes: Routes,
  pan: string,
  ready: (link: string) => boolean,
  from = 0,
): Choice {
  const row = routes.table.find(pan)
  const choices = row < 0 ? undefined : routes.choices[row]
  if (choices === undefined) return NO_ROUTE
  for (let attempt = from; attempt < choices.length; attempt++) {
    const choice = choices[attempt]
    if (choice === undefined) break
    if (choice.to !== 'link' || ready(choice.link)) return choice
  }
  return LINK_DOWN
}

function rangeOf(row: RouteRow): BinRange {
  if (row.range !== null) {
    const [first = '', last = ''] = row.range.split('-')
    return { first, last }
  }
  return { first: row.prefix ?? '', last: row.prefix ?? '' }
}

function choicesOf(row: RouteRow): readonly Choice[] {
  if (row.to === 'on_us') return [ON_US]
  return [row.to, ...row.alternates].map((link, attempt): Choice => {
    return Object.freeze({ to: 'link', link, attempt })
  })
}
