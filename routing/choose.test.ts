// Where transactions go, as a table.
import t from 'tap'
import { buildRoutes, choose } from './choose.ts'

const ROUTES = buildRoutes([
  { prefix: '622300', range: null, to: 'on_us', alternates: [] },
  { prefix: '62', range: null, to: 'cups', alternates: ['partner', 'visa'] },
  { prefix: null, range: '400000-499999', to: 'visa', alternates: [] },
])

const CASES = [
  { name: 'an own card needs no link', pan: '6223000000000001', ready: [], want: 'on_us' },
  { name: 'a scheme card goes to its link', pan: '6211110000000001', ready: ['cups', 'visa'], want: 'cups 0' },
  { name: 'a range is a route too', pan: '4000000000000002', ready: ['visa'], want: 'visa 0' },
  { name: 'a link that is down is not chosen', pan: '4000000000000002', ready: ['cups'], want: 'link_down' },
  { name: 'the first alternate that is ready', pan: '6211110000000001', ready: ['visa'], want: 'visa 2' },
  { name: 'alternates in the order listed', pan: '6211110000000001', ready: ['visa', 'partner'], want: 'partner 1' },
  { name: 'after one attempt only the later ones', pan: '6211110000000001', ready: ['cups', 'visa'], from: 1, want: 'visa 2' },
  { name: 'no attempt is left', pan: '6211110000000001', ready: ['cups', 'partner', 'visa'], from: 3, want: 'link_down' },
  { name: 'an unknown prefix goes nowhere', pan: '3560000000000003', ready: ['cups', 'visa'], want: 'no_route' },
  { name: 'text that is no PAN goes nowhere', pan: '62', ready: ['cups'], want: 'no_route' },
]

for (const { name, pan, ready, from, want } of CASES) {
  t.test(name, async (t) => {
    const choice = choose(ROUTES, pan, (link) => (ready as string[]).includes(link), from)
    const text =
      choice.to === 'link'
        ? `${choice.link} ${choice.attempt}`
        : choice.to === 'on_us' ? 'on_us' : choice.reason
    t.equal(text, want)
  })
}

t.test('choosing gives the same objects again: nothing is allocated per transaction', async (t) => {
  const all = (): boolean => true
  t.equal(choose(ROUTES, '4000000000000002', all), choose(ROUTES, '4999990000000002', all))
})
