// Planted mistakes: each row changes the demonstration's file in one place, and says on which line
// and in which words the mistake must be reported. Every rule of rules.ts has a row.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import * as load from './load.ts'
import { RULES } from './rules.ts'

const DIALECTS = ['cups', 'cups-pos', 'iso87-ascii', 'visa']
const GOOD = readFileSync(load.demonstrationPath(), 'utf8')

interface Row {
  name: string
  rule?: string
  change: [string, string] // first occurrence is replaced
  at: string // text that only the line of the report contains, after the change
  says: RegExp
}

const FORM: Row[] = [
  {
    name: 'an unknown key names the nearest known one',
    change: ['time_zone:', 'timezone:'],
    at: 'timezone:',
    says: /unknown key timezone; did you mean time_zone\?/,
  },
  {
    name: 'a missing key is reported at the section that lacks it',
    change: ['  label: switchyard-demo\n', ''],
    at: 'token:',
    says: /token\.label is missing; add it \(label of the token/,
  },
  {
    name: 'a missing key of a list element is reported at the element',
    change: ['merchant: "123456789012345", link: pos, key: demo.tmk.10000001, ', 'link: pos, key: demo.tmk.10000001, '],
    at: 'demo.tmk.10000001',
    says: /terminals\[0\]\.merchant is missing/,
  },
  {
    name: 'a number beyond its range says the range',
    change: ['workers: 2', 'workers: 99'],
    at: 'workers: 99',
    says: /token\.workers is out of range; write a whole number from 1 to 16/,
  },
  {
    name: 'a fraction is no whole number',
    change: ['workers: 2', 'workers: 1.5'],
    at: 'workers: 1.5',
    says: /token\.workers is a fraction; write a whole number/,
  },
  {
    name: 'text where a number belongs',
    change: ['workers: 2', 'workers: "2"'],
    at: 'workers: "2"',
    says: /token\.workers is text; write a whole number from 1 to 16, without quotes/,
  },
  {
    name: 'digits that are a name need quotes',
    change: ['prefix: "622300"', 'prefix: 622300'],
    at: 'prefix: 622300',
    says: /routes\[0\]\.prefix is a number; write it in quotes/,
  },
  {
    name: 'a framing that does not exist',
    change: ['framing: 2b+tpdu+app', 'framing: 2b+tpud'],
    at: '2b+tpud',
    says: /links\[0\]\.framing .*write one of none, visa.*did you mean 2b\+tpdu\?/,
  },
  {
    name: 'a role that does not exist',
    change: ['role: terminals', 'role: terminal'],
    at: 'role: terminal\n',
    says: /links\[0\]\.role .*write one of terminals, scheme; did you mean terminals\?/,
  },
  {
    name: 'a key of the other role',
    change: ['    connections_max: 1000\n', '    connections_max: 1000\n    reply_timeout_ms: 5000\n'],
    at: 'reply_timeout_ms: 5000',
    says: /unknown key links\[0\]\.reply_timeout_ms; remove it: only links with role: scheme/,
  },
  {
    name: 'a port that cannot be',
    change: ['127.0.0.1:7001', '127.0.0.1:70010'],
    at: ':70010',
    says: /links\[0\]\.listen .*a port from 1 to 65535/,
  },
  {
    name: 'a section without content',
    change: ['reversals: {', 'log:\nreversals: {'],
    at: 'log:',
    says: /log has no value; remove the key/,
  },
  {
    name: 'a key that stands twice',
    change: ['  workers: 2\n', '  workers: 2\n  workers: 3\n'],
    at: 'workers: 3',
    says: /the same key stands here twice/,
  },
  {
    name: 'a bracket that is not closed shows where the next key begins',
    change: ['port: 8583 }', 'port: 8583'],
    at: 'database:',
    says: /or a bracket above is open/,
  },
  {
    name: 'a PIN in the file is an unknown key whose value is not repeated',
    change: ['  workers: 2\n', '  pin: "271828"\n  workers: 2\n'],
    at: 'pin: "271828"',
    says: /unknown key token\.pin;/,
  },
]

const RULE_ROWS: Row[] = [
  {
    name: 'two links of one name',
    rule: 'link names are unique',
    change: ['name: partner', 'name: atm'],
    at: 'name: atm\n    role: scheme',
    says: /a second link is named atm/,
  },
  {
    name: 'two links listen on one port',
    rule: 'a port is used once',
    change: ['127.0.0.1:7002', '127.0.0.1:7001'],
    at: '127.0.0.1:7001\n    connections_max: 200',
    says: /port 7001 is used twice: here and by link pos/,
  },
  {
    name: 'a link listens on the port of the operations pages',
    rule: 'a port is used once',
    change: ['127.0.0.1:7002', '127.0.0.1:8583'],
    at: '127.0.0.1:8583',
    says: /port 8583 is used twice: here and by operations_http/,
  },
  {
    name: 'a link dials itself',
    rule: 'a port is used once',
    change: ['127.0.0.1:7201', '127.0.0.1:7101'],
    at: 'connect: 127.0.0.1:7101',
    says: /would dial the port on which link cups listens/,
  },
  {
    name: 'a dialect that does not exist',
    rule: 'dialects exist',
    change: ['dialect: visa', 'dialect: vsia'],
    at: 'dialect: vsia',
    says: /no dialect of this name; write one of .*did you mean visa\?/,
  },
  {
    name: 'a scheme link without address',
    rule: 'a scheme link has an address',
    change: ['    listen: 127.0.0.1:7110\n', ''],
    at: 'name: partner',
    says: /link partner neither listens nor dials/,
  },
  {
    name: 'keys required and no key to exchange them',
    rule: 'keys can be exchanged where they are required',
    change: ['    key_exchange_key: demo.zmk.visa\n', ''],
    at: 'name: visa',
    says: /link visa requires working keys but has no key/,
  },
  {
    name: 'a listening address beyond this machine',
    rule: 'cleartext beyond this machine is acknowledged',
    change: ['127.0.0.1:7001', '0.0.0.0:7001'],
    at: '0.0.0.0:7001',
    says: /in clear beyond this machine; .*acknowledge_cleartext: leased-line/,
  },
  {
    name: 'the operations pages beyond this machine',
    rule: 'cleartext beyond this machine is acknowledged',
    change: ['host: 127.0.0.1', 'host: 192.0.2.7'],
    at: '192.0.2.7',
    says: /operations pages would leave this machine/,
  },
  {
    name: 'the first pause is longer than the longest',
    rule: 'least is not above most',
    change: ['retry_first_ms: 2000', 'retry_first_ms: 70000'],
    at: 'retry_first_ms: 70000',
    says: /retry_first_ms is above retry_max_ms; write at most 60000/,
  },
  {
    name: 'a scheme may answer after the terminal has gone',
    rule: 'answers come within the terminals wait',
    change: ['reply_timeout_ms: 4000', 'reply_timeout_ms: 29000'],
    at: 'reply_timeout_ms: 29000',
    says: /terminals of pos wait 30000 ms only; write at most 28000/,
  },
  {
    name: 'a terminal on a link that does not exist',
    rule: 'terminals are on terminals links',
    change: ['link: atm', 'link: amt'],
    at: 'link: amt',
    says: /no link of this name; write one of pos, atm; did you mean atm\?/,
  },
  {
    name: 'a terminal on a scheme link',
    rule: 'terminals are on terminals links',
    change: ['link: atm', 'link: visa'],
    at: 'link: visa',
    says: /no terminals link; write one of pos, atm/,
  },
  {
    name: 'two terminals of one id',
    rule: 'terminal ids are unique per link',
    change: ['id: "10000002"', 'id: "10000001"'],
    at: 'demo.tmk.10000002',
    says: /a second terminal 10000001 is on link pos/,
  },
  {
    name: 'a route with prefix and range',
    rule: 'routes have one prefix or range',
    change: ['prefix: "62",', 'prefix: "62", range: "6200-6299",'],
    at: 'range: "6200-6299"',
    says: /prefix and range together; write either/,
  },
  {
    name: 'a range that runs backwards',
    rule: 'routes have one prefix or range',
    change: ['prefix: "62",', 'range: "6299-6200",'],
    at: '6299-6200',
    says: /the range has no order or two lengths/,
  },
  {
    name: 'a route to a link that does not exist',
    rule: 'routes lead to scheme links',
    change: ['to: visa', 'to: viza'],
    at: 'to: viza',
    says: /no link of this name; write one of on_us, cups, visa, partner; did you mean visa\?/,
  },
  {
    name: 'a route to terminals',
    rule: 'routes lead to scheme links',
    change: ['to: visa', 'to: atm'],
    at: 'to: atm',
    says: /terminals issue no cards/,
  },
  {
    name: 'an alternate that does not exist',
    rule: 'routes lead to scheme links',
    change: ['to: visa', 'to: visa, alternates: [cups, parner]'],
    at: 'parner',
    says: /alternates\[1\]: there is no link of this name.*did you mean partner\?/,
  },
  {
    name: 'a link that may reach a link that does not exist',
    rule: 'links may reach scheme links',
    change: ['    connections_max: 1000\n', '    connections_max: 1000\n    may_reach: [cusp]\n'],
    at: 'cusp',
    says: /may_reach\[0\]: there is no scheme link of this name; write any, or some of .*cups\?/,
  },
  {
    name: 'one prefix with two routes',
    rule: 'routes do not collide',
    change: ['prefix: "4",', 'prefix: "62",'],
    at: 'prefix: "62", to: visa',
    says: /62 is routed twice: to cups and to visa/,
  },
  {
    name: 'ranges that overlap half',
    rule: 'routes do not collide',
    change: ['prefix: "4",', 'range: "6250-6350",'],
    at: '6250-6350',
    says: /6250-6350 and 62 overlap, and neither lies within the other/,
  },
  {
    name: 'own cards that would go to a scheme',
    rule: 'own cards are routed on us',
    change: ['bins: ["622300"]', 'bins: ["622300", "622301"]'],
    at: 'bins:',
    says: /own cards 622301 would go to cups; add the route \{ prefix: "622301", to: on_us \}/,
  },
  {
    name: 'an on_us route to cards we do not issue',
    rule: 'own cards are routed on us',
    change: ['prefix: "4", to: visa', 'prefix: "4", to: on_us'],
    at: 'prefix: "4"',
    says: /no issuer of ours has cards 4/,
  },
  {
    name: 'demonstration keys without demonstration',
    rule: 'demonstration keys need a demonstration',
    change: ['demonstration: true', 'demonstration: false'],
    at: 'key_exchange_key: demo.zmk.cups',
    says: /demo\.zmk\.cups is a demonstration key, and this is no demonstration/,
  },
  {
    name: 'one key for two purposes',
    rule: 'one key has one purpose',
    change: ['cvk: demo.issuer.cvk', 'cvk: demo.issuer.pvk'],
    at: 'cvk:',
    says: /demo\.issuer\.pvk is used twice: for PIN verification and for card verification/,
  },
  {
    name: 'the PIN where its file belongs is not repeated',
    rule: 'the token PIN is in a file',
    change: ['pin_file: secrets/switchyard-demo.user.pin', 'pin_file: "271828"'],
    at: 'pin_file:',
    says: /looks like the PIN itself, not like a file/,
  },
  {
    name: 'a time zone that does not exist',
    rule: 'the time zone exists',
    change: ['Asia/Shanghai', 'Asia/Shangai'],
    at: 'Shangai',
    says: /no time zone of this name; write an IANA name/,
  },
]

function lineOf(text: string, part: string): number {
  const offset = text.indexOf(part)
  if (offset < 0) throw new Error(`the row's text is not in the file: ${part}`)
  return text.slice(0, offset).split('\n').length
}

t.test('the demonstration has no mistake', async (t) => {
  const { config, mistakes } = load.checkTexts([{ name: 'good.yaml', text: GOOD }], DIALECTS)
  t.same(mistakes, [])
  t.equal(config?.links.length, 5)
  t.same(config?.links[0]?.listen, { host: '127.0.0.1', port: 7001 })
})

for (const row of [...FORM, ...RULE_ROWS]) {
  t.test(`reported with its line: ${row.name}`, async (t) => {
    t.ok(GOOD.includes(row.change[0]), 'the row fits the file')
    const text = GOOD.replace(row.change[0], row.change[1])
    const { config, mistakes } = load.checkTexts([{ name: 'bad.yaml', text }], DIALECTS)
    const lines = mistakes.map(load.mistakeLine)
    t.equal(config, null)
    const place = `bad.yaml:${lineOf(text, row.at)}: `
    const found = lines.filter((line) => line.startsWith(place) && row.says.test(line))
    t.ok(found.length > 0, `${place}${row.says}`, { lines })
    t.notMatch(lines.join('\n'), /271828/, 'no secret is repeated')
  })
}

t.test('every rule has a planted mistake', async (t) => {
  const planted = new Set(RULE_ROWS.map(({ rule }) => rule))
  t.same(RULES.map(({ name }) => name).filter((name) => !planted.has(name)), [])
})

t.test('many mistakes are all reported, in the order of lines', async (t) => {
  let text = GOOD
  for (const { change } of [FORM[3], FORM[6], RULE_ROWS[1], RULE_ROWS[4], RULE_ROWS[16]] as Row[]) {
    text = text.replace(change[0], change[1])
  }
  const { mistakes } = load.checkTexts([{ name: 'bad.yaml', text }], DIALECTS)
  const lines = mistakes.map(({ line }) => line)
  t.same(lines, lines.toSorted((a, b) => a - b))
  t.equal(mistakes.length, 5, mistakes.map(load.mistakeLine).join('\n'))
})

t.test('the files of a directory are one configuration', async (t) => {
  const cut = GOOD.indexOf('terminals:\n')
  const first = GOOD.slice(0, cut)
  const more = ['- name: pos', '  role: terminals', '  dialect: cups-pos', '  framing: 2b']
  more.push('  listen: 127.0.0.1:7009')
  const second = `${GOOD.slice(cut)}\nlinks:\n${more.map((line) => `  ${line}\n`).join('')}`
  const files = [
    { name: 'a.yaml', text: first },
    { name: 'b.yaml', text: second },
  ]
  const { mistakes } = load.checkTexts(files, DIALECTS)
  const lines = mistakes.map(load.mistakeLine)
  t.match(lines, [/^b\.yaml:\d+: links\[5\]\.name: a second link is named pos/])
  t.equal(mistakes[0]?.line, lineOf(files[1]?.text ?? '', 'name: pos'))
  const twice = load.checkTexts([...files, { name: 'c.yaml', text: 'node: other\n' }], DIALECTS)
  const said = twice.mistakes.map(load.mistakeLine)
  t.ok(said.some((line) => /^c\.yaml:1: node is also in a\.yaml/.test(line)))
})

t.test('files that cannot be read are mistakes, not crashes', async (t) => {
  const latin = Buffer.from([0x61, 0x3a, 0xff])
  const dir = t.testdir({ empty: {}, 'latin.yaml': latin, 'none.yaml': '' })
  const lines = (path: string): string[] => load.checkConfig(path).mistakes.map(load.mistakeLine)
  const first = (path: string): string => lines(path)[0] ?? ''
  t.match(first(join(dir, 'absent.yaml')), /absent\.yaml: does not exist/)
  t.match(first(join(dir, 'empty')), /empty: has no \*\.yaml file/)
  t.match(first(join(dir, 'latin.yaml')), /latin\.yaml: is not UTF-8 text/)
  t.match(first(join(dir, 'none.yaml')), /none\.yaml:1: is empty/)
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
    .split('')
    .map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefg'[i]}`).join(',')}]`)
    .join('\n')}\n`
  writeFileSync(join(dir, 'bomb.yaml'), bomb)
  t.match(first(join(dir, 'bomb.yaml')), /aliases cannot be expanded/)
})

t.test('loadConfig gives home and database from the environment', async (t) => {
  const kept = { ...process.env }
  t.teardown(() => {
    process.env = kept
  })
  const dir = t.testdir({})
  mkdirSync(join(dir, 'home'))
  process.env['SWITCHYARD_HOME'] = join(dir, 'home')
  process.env['SWITCHYARD_DATABASE_URL'] = 'postgres://u:secret@db.example/switchyard'
  t.equal(load.environment().home, join(dir, 'home'))
  t.equal(load.environment().databaseUrl, 'postgres://u:secret@db.example/switchyard')
  process.env['SWITCHYARD_DATABASE_URL'] = 'mysql://u:secret@db.example/x'
  try {
    load.environment()
    t.fail('a URL of another database is refused')
  } catch (error) {
    t.match(String(error), /SWITCHYARD_DATABASE_URL: is not a PostgreSQL URL/)
    t.notMatch(String(error), /secret/)
  }
})
