// `links list` against a page of metrics as the switch makes it.
import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { demonstrationPath } from '../../config/load.ts'
import { linkStates, parseMetrics, renderLinks } from './list.ts'

const PAGE = `# HELP switchyard_link_up 1 when connected, whatever else.
# TYPE switchyard_link_up gauge
switchyard_link_up{link="cups"} 1
switchyard_link_up{link="visa"} 1
switchyard_link_up{link="pos"} 0
switchyard_link_ready{link="cups"} 1
switchyard_link_ready{link="visa"} 0
switchyard_pending_requests{link="cups"} 3
switchyard_saf_rows{route="visa",state="queued"} 4
switchyard_saf_rows{route="visa",state="parked"} 1
switchyard_odd{text="a \\"quoted\\" word",other="x"} 1e3 1700000000
not a sample
`

t.test('samples are read with labels; what is no sample is left out', async (t) => {
  const samples = parseMetrics(PAGE)
  t.equal(samples.length, 9)
  t.same(samples.at(-1), {
    name: 'switchyard_odd',
    labels: { text: 'a \\"quoted\\" word', other: 'x' },
    value: 1000,
  })
})

t.test('each configured link has its state, also one of which nothing is counted', async (t) => {
  const server = createServer((_request, response) => response.end(PAGE))
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
  const text = readFileSync(demonstrationPath(), 'utf8').replace('port: 8583', `port: ${port}`)
  const path = join(t.testdir({ 'x.yaml': text }), 'x.yaml')
  const states = await linkStates(path)
  const lines = renderLinks(states).split('\n')
  t.match(lines[2], /^pos +terminals +cups-pos +127\.0\.0\.1:7001 +- +down +0 +0$/)
  t.match(lines[4], /^cups +scheme .* ready +3 +0$/)
  t.match(lines[5], /^visa +scheme .* connected +0 +5$/)
  t.match(lines[6], /^partner +scheme .* down +0 +0$/)
  await new Promise((resolve) => server.close(resolve))
  await t.rejects(linkStates(path), { message: `no switch answers at 127.0.0.1:${port}` })
})
