// The calculator against every public known answer (tests/vectors/vectors.json, each with its
// source) through the function that the command runs, the command itself as a process, and its
// behaviour on bad lines: one error for that line, none of the line's content in it.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'

import { answerLine, listAlgorithms, runCalculator } from '../console/calc/run.ts'

interface Vector {
  readonly id: string
  readonly alg: string
  readonly in: Readonly<Record<string, unknown>>
  readonly out: Readonly<Record<string, unknown>>
  readonly source: string
}

const VECTORS = (
  JSON.parse(readFileSync(new URL('vectors/vectors.json', import.meta.url), 'utf8')) as {
    vectors: readonly Vector[]
  }
).vectors

/** Values as the vector file compares them: hexadecimal without case. */
function folded(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null), (_key, item: unknown) =>
    typeof item === 'string' ? item.toUpperCase() : item,
  )
}

function lineOf(vector: Vector): string {
  return JSON.stringify({ id: vector.id, alg: vector.alg, in: vector.in })
}

async function answers(lines: readonly string[]) {
  const out: Record<string, unknown>[] = []
  const failed = await runCalculator(lines, (text) => {
    out.push(JSON.parse(text) as Record<string, unknown>)
  })
  return { out, failed }
}

t.test('every published vector is answered with exactly its values', async (t) => {
  const { out, failed } = await answers(VECTORS.map(lineOf))
  t.equal(out.length, VECTORS.length)
  t.equal(failed, VECTORS.filter((vector) => 'error' in vector.out).length)
  VECTORS.forEach((vector, at) => {
    const answer = out[at]!
    const name = `${vector.id} (${vector.source})`
    t.equal(answer['id'], vector.id, name)
    if ('error' in vector.out) {
      t.equal(answer['error'], vector.out['error'], name)
      t.notOk('out' in answer, name)
      return
    }
    const result = (answer['out'] ?? {}) as Record<string, unknown>
    for (const [key, wanted] of Object.entries(vector.out)) {
      t.same(folded(result[key]), folded(wanted), `${name}: ${key}`)
    }
  })
})

t.test('every algorithm of the vectors is listed', async (t) => {
  const listed = new Set(listAlgorithms())
  for (const alg of new Set(VECTORS.map(({ alg }) => alg))) t.ok(listed.has(alg), alg)
})

const BAD_LINES: readonly { name: string; line: string; id: unknown; error: string }[] = [
  { name: 'a line that is not JSON', line: '{"id":1,', id: null, error: 'json' },
  { name: 'a line that is a list', line: '[1,2]', id: null, error: 'json' },
  { name: 'a line without alg', line: '{"id":7}', id: 7, error: 'missing' },
  { name: 'an unknown algorithm', line: '{"id":"x","alg":"rot13"}', id: 'x', error: 'unknown_alg' },
  {
    name: 'an algorithm named like a property of every object',
    line: '{"id":1,"alg":"constructor"}',
    id: 1,
    error: 'unknown_alg',
  },
  { name: 'inputs that are a text', line: '{"id":1,"alg":"sm3","in":"00"}', id: 1, error: 'input' },
  { name: 'a missing input', line: '{"id":1,"alg":"cvv","in":{}}', id: 1, error: 'missing' },
  {
    name: 'hexadecimal of odd length',
    line: '{"id":1,"alg":"sm3","in":{"data":"ABC"}}',
    id: 1,
    error: 'input',
  },
  {
    name: 'a key of a wrong length',
    line: '{"id":1,"alg":"kcv.aes.zero","in":{"key":"00112233"}}',
    id: 1,
    error: 'length',
  },
  {
    name: 'a PIN that is too short',
    line: '{"id":1,"alg":"pinblock.iso0.encode","in":{"pin":"123","pan":"5555555551234567"}}',
    id: 1,
    error: 'length',
  },
  {
    name: 'a PIN with a letter',
    line: '{"id":1,"alg":"pinblock.iso2.encode","in":{"pin":"12E4"}}',
    id: 1,
    error: 'digit',
  },
  {
    name: 'a format 0 block under another PAN',
    line:
      '{"id":1,"alg":"pinblock.iso0.decode",' +
      '"in":{"block":"041261AAAAEDCBA9","pan":"5555555551234575"}}',
    id: 1,
    error: 'filler',
  },
  {
    name: 'a format 3 fill with digits',
    line: '{"id":1,"alg":"pinblock.iso3.pinfield","in":{"pin":"1234","fill":"AAAAAAAAA0"}}',
    id: 1,
    error: 'filler',
  },
  {
    name: 'an unknown cipher',
    line: '{"id":1,"alg":"mac.cmac","in":{"cipher":"rc4","key":"00","data":""}}',
    id: 1,
    error: 'unsupported',
  },
]

t.test('a bad line is answered with its kind and the next line is answered', async (t) => {
  for (const { name, line, id, error } of BAD_LINES) {
    const good = '{"id":"after","alg":"sm3","in":{"dataAscii":"abc"}}'
    const { out, failed } = await answers([line, '', good])
    t.equal(failed, 1, name)
    t.equal(out.length, 2, name)
    t.equal(out[0]!['error'], error, name)
    t.same(out[0]!['id'], id, name)
    t.equal(out[1]!['id'], 'after', name)
    t.ok('out' in out[1]!, name)
  }
})

/** Longer values of a line: what an error must not repeat. */
function secretsOf(values: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.values(values).filter(
    (value): value is string => typeof value === 'string' && value.length >= 6,
  )
}

t.test('a spoilt input never stops the calculator and never shows in its error', async (t) => {
  const spoilers: readonly ((value: unknown) => unknown)[] = [
    () => undefined,
    () => null,
    () => 17,
    () => [],
    () => ({ a: 1 }),
    () => '',
    () => 'not what was asked',
    (value) => `${String(value)}0`,
    (value) => `${String(value)}00`,
    (value) => String(value).slice(2),
    (value) => String(value).replace(/[0-9]/, 'G'),
    (value) => String(value).repeat(2),
  ]
  let refused = 0
  let tried = 0
  for (const vector of VECTORS) {
    for (const [key, value] of Object.entries(vector.in)) {
      const spoiler = spoilers[tried++ % spoilers.length]!
      const values = { ...vector.in, [key]: spoiler(value) }
      const answer = answerLine(JSON.stringify({ id: 1, alg: vector.alg, in: values }))
      if (answer.error === undefined) continue
      refused++
      const told = `${answer.error} ${answer.detail ?? ''}`
      for (const secret of secretsOf(values)) {
        if (told.includes(secret)) t.fail(`${vector.id}: the error repeats ${key}`)
      }
      if (answer.error === 'internal') t.fail(`${vector.id}: ${key}`)
    }
  }
  t.ok(refused > 500, `${refused} spoilt lines were refused`)
})

/** Result of one algorithm, or the kind of its refusal. */
function calculated(alg: string, values: Readonly<Record<string, unknown>>) {
  const answer = answerLine(JSON.stringify({ id: 1, alg, in: values }))
  return answer.out ?? { error: answer.error }
}

t.test('an SM2 card certificate is read when signed and refused when altered', async (t) => {
  // No public sample exists: the bytes are laid out here after JR/T 0025 part 17.
  const d = '3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8'
  const authority = calculated('sm2.pub', { d })
  const { x, y } = calculated('sm2.pub', { d: '11'.repeat(32) })
  const rows = [
    { alg: 'emv.sm2.cert.issuer', owner: 'ca', head: '12', subject: '621094FF', staticData: '' },
    {
      alg: 'emv.sm2.cert.icc',
      owner: 'issuer',
      head: '14',
      subject: '6210948000000011FFFF',
      staticData: '5F24033010315A086210948000000011',
    },
  ]
  for (const { alg, owner, head, subject, staticData } of rows) {
    const body = `${head}${subject}123000000104001140${String(x)}${String(y)}`
    const signature = calculated('sm2.sign', { d, ...authority, message: body + staticData })
    const certificate = `${body}${String(signature['r'])}${String(signature['s'])}`
    const keys = { [`${owner}X`]: authority['x'], [`${owner}Y`]: authority['y'] }
    const read = calculated(alg, { ...keys, certificate, staticData })
    t.same(read, { subject, expiry: '1230', serial: '000001', x, y }, alg)
    const altered = certificate.replace('1230', '1231')
    t.same(calculated(alg, { ...keys, certificate: altered, staticData }), { error: 'hash' }, alg)
    const cut = certificate.slice(2)
    t.same(calculated(alg, { ...keys, certificate: cut, staticData }), { error: 'length' }, alg)
  }
})

t.test('both directions of an algorithm pair lead back to the input', async (t) => {
  const key = '0123456789ABCDEFFEDCBA9876543210'
  const bdk = { bdk: key, ksn: 'FFFF9876543210E00003' }
  const aesBdk = { bdk: key, ksn: '123456789012345600000003' }
  const data = '00112233445566778899AABBCCDDEEFF'
  const rows = [
    { there: 'sm4.cbc', back: 'sm4.cbc.decrypt', values: { key }, from: 'data', to: 'data' },
    { there: 'sm4.ctr', back: 'sm4.ctr.decrypt', values: { key }, from: 'data', to: 'data' },
    { there: 'dukpt.tdes.data', back: 'dukpt.tdes.data.decrypt', values: bdk, from: 'data', to: 'data' },
    { there: 'dukpt.aes.data', back: 'dukpt.aes.data.decrypt', values: aesBdk, from: 'data', to: 'data' },
    { there: 'key.encrypt.ecb', back: 'key.decrypt.ecb', values: { kek: key }, from: 'key', to: 'key' },
    {
      there: 'key.encrypt.variantScheme',
      back: 'key.decrypt.variantScheme',
      values: { kek: key, lmkVariant: 222 },
      from: 'key',
      to: 'key',
    },
  ]
  const odd = String(calculated('key.parity.odd', { key: data })['key'])
  for (const { there, back, values, from, to } of rows) {
    const encrypted = calculated(there, { ...values, [from]: odd })['encrypted']
    t.match(encrypted, /^[0-9A-F]{32}$/, there)
    t.equal(calculated(back, { ...values, encrypted })[to], odd, back)
  }
})

/** Runs the command in a process of its own, as bin/switchyard does, and feeds its stdin. */
async function runCommand(args: readonly string[], stdin: string) {
  const script = `
    import { Command } from 'commander'
    import { register } from './console/commands/calc.ts'
    const program = new Command('switchyard').exitOverride().allowExcessArguments()
    register(program)
    try {
      await program.parseAsync(${JSON.stringify(args)}, { from: 'user' })
    } catch (fault) {
      process.exitCode = fault.exitCode === 0 ? 0 : 2
    }`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: new URL('..', import.meta.url),
  })
  let stdout = ''
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.resume()
  child.stdin.end(stdin)
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, stdout }
}

t.test('the command keeps the order and tells by its exit code of a failed line', async (t) => {
  const good = ['3', '1', '2'].map((id) => `{"id":${id},"alg":"sm3","in":{"dataAscii":"abc"}}`)
  const all = await runCommand(['calc'], `${good.join('\n')}\r\n\n`)
  t.equal(all.code, 0)
  const ids = all.stdout.trim().split('\n').map((line) => (JSON.parse(line) as { id: number }).id)
  t.same(ids, [3, 1, 2])
  const some = await runCommand(['calc'], `${good[0]}\nnonsense\n${good[1]}`)
  t.equal(some.code, 1)
  t.equal(some.stdout.trim().split('\n').length, 3, 'the last line needs no line end')
})

t.test('the command lists the algorithms, explains itself and refuses wrong usage', async (t) => {
  const list = await runCommand(['calc', '--list'], '')
  t.equal(list.code, 0)
  t.same(list.stdout.trim().split('\n'), listAlgorithms())
  const help = await runCommand(['calc', '--help'], '')
  t.equal(help.code, 0)
  t.match(help.stdout, /^Examples:/, 'the example comes first')
  for (const args of [['calc', '--nonsense'], ['calc', 'a-word-too-many']]) {
    const wrong = await runCommand(args, '')
    t.equal(wrong.code, 2, args.join(' '))
  }
})
