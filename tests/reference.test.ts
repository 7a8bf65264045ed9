/**
 * Reference pages say what the code says: reasons and items are listed word for word.
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { ITEMS } from '../switch/pipeline/items.ts'
import { REASONS } from '../switch/reasons.ts'

const page = (name: string): string =>
  readFileSync(new URL(`../docs/reference/${name}.md`, import.meta.url), 'utf8')

t.test('docs/reference/reasons.md lists every reason in order of precedence, and no other', async (t) => {
  const rows = [...page('reasons').matchAll(/^\| `([a-z_]+)` \| (approved|declined) \| (.+) \|$/gm)]
  const listed = rows.map(([, name, result, text]) => [name, result, text])
  const known = Object.entries(REASONS).map(([name, info]) => [
    name, info.approved ? 'approved' : 'declined', info.text,
  ])
  t.same(listed, known)
})

t.test('docs/reference/items.md lists every item, and no other', async (t) => {
  const listed = [...page('items').matchAll(/^\| `([a-z0-9_]+)` \|/gm)].map(([, name]) => name)
  t.same(listed.toSorted(), Object.keys(ITEMS).toSorted())
})
