// `switchyard keys`: the work of security officers. Loaded by console/main.ts; needs the database
// and the token, and a terminal where officers type passphrases and components. What the verbs do
// lies in console/keys/. No verb takes a secret on its command line.
import type { Command } from 'commander'
import { jsonOption, withExamples, WrongUsage } from '../help.ts'
import type { Desk } from '../keys/desk.ts'
import { registerPeople } from '../keys/people-verbs.ts'
import { twoOfficers } from '../keys/verb-options.ts'

type Options = Readonly<Record<string, never>>
type Verb = (desk: Desk, name: string, options: never) => Promise<void>

const USAGE = 'kek kbpk vault pvk cvk imk_ac imk_smi imk_smc; pin mac track'

/** Adds `keys` with its verbs. */
export function register(program: Command): void {
  const keys = withExamples(
    program.command('keys').description(
      'lets security officers make, bring in, hand out and end keys',
    ),
    [
      'switchyard keys officers add alice           # 1. alice, at her own terminal',
      'switchyard keys officers add bob             # 2. bob; from now on two act together',
      'switchyard keys ceremony --rehearsal         # 3. practise; nothing real is touched',
      'switchyard keys ceremony form --components 2 # 4. print forms for the envelopes',
      'switchyard keys ceremony cups.zmk --usage kek --officer alice --with bob   # 5. for real',
      'switchyard keys verify                       # 6. is every key what it should be?',
    ],
  ).addHelpText(
    'after',
    '\nTwo officers, one proposing and one approving, are needed for everything that changes a key' +
      '\nor an officer: both at one terminal (--officer alice --with bob), or one after the other' +
      '\n(--officer alice; bob: keys approvals approve ID; alice again with --approval ID) within' +
      '\n15 minutes. Passphrases and components are typed at the terminal and never shown.\n',
  )
  registerPeople(keys)
  registerCeremony(keys)
  registerMaking(keys)
  registerBlocks(keys)
  registerViews(keys)
}

async function atDesk(options: Options, work: (desk: Desk) => Promise<void>): Promise<void> {
  const desk = await import('../keys/desk.ts')
  await desk.atDesk(options['config'], work)
}

/** An action on a named key. */
function named(load: () => Promise<Verb>): (name: string, options: Options) => Promise<void> {
  return async (name, options) => {
    const verb = await load()
    await atDesk(options, (desk) => verb(desk, name, options as never))
  }
}

function registerCeremony(keys: Command): void {
  const ceremony = twoOfficers(
    keys
      .command('ceremony')
      .summary('make a key of components that different officers hold')
      .description(
        'makes a key of components that different officers hold. Both officers sign in; then each ' +
          'custodian comes to the terminal alone, types the component unseen and the check value of ' +
          'the envelope, and leaves a clear screen. The whole key exists only in the token, once its ' +
          'check value was confirmed. Ending it early, in any way, leaves nothing.',
      )
      .argument('[name]', 'name of the key (a rehearsal needs none)')
      .option('--usage <purpose>', 'kek kbpk vault pvk cvk imk_ac imk_smi imk_smc')
      .option(
        '--kind <kind>', 'tdes2 tdes3 aes128 aes192 aes256 (default: the usual of the purpose)',
      )
      .option('--components <number>', '2 to 5, each of another officer', '2')
      .option('--replace', 'put a new key in the place of the one of this name')
      .option('--transcript <file>', 'where it goes (default: <home>/ceremonies/)')
      .option('--rehearsal', 'practise on a throw-away token with two practice officers'),
  ).action(async (name: string | undefined, options: Options) => {
    if (options['rehearsal'] !== undefined) {
      const { rehearse } = await import('../keys/rehearsal.ts')
      return rehearse(name ?? 'practice.kek', options)
    }
    if (name === undefined) throw new WrongUsage('which key? switchyard keys ceremony NAME ...')
    return named(async () => (await import('../keys/ceremony.ts')).ceremony)(name, options)
  })
  withExamples(ceremony, [
    'switchyard keys ceremony --rehearsal',
    'switchyard keys ceremony cups.zmk --usage kek --components 2 --officer alice --with bob',
    'switchyard keys ceremony form cups.zmk --usage kek --components 2 | lp',
  ]).addHelpText(
    'after',
    '\nBring: one sealed envelope for each component, with the check value on its form; the letter' +
      '\nwith the check value of the whole key; the key files of the officers. Finish within 15' +
      '\nminutes of the approval. The transcript is printed, kept and signed by the token.\n',
  )
  withExamples(
    ceremony
      .command('form')
      .description('prints a form for each component, to fill in by hand and seal in an envelope')
      .argument('[name]', 'name of the key', '')
      .option('--usage <purpose>', 'purpose of the key', '')
      .option('--kind <kind>', 'tdes2 tdes3 aes128 aes192 aes256', 'tdes2')
      .option('--components <number>', '2 to 5', '2')
      .action(async (name: string, _own: Options, command: Command) => {
        const { printForm } = await import('../keys/print-form.ts')
        printForm(name, command.optsWithGlobals())
      }),
    ['switchyard keys ceremony form', 'switchyard keys ceremony form cups.zmk --usage kek | lp'],
  )
}

function registerMaking(keys: Command): void {
  const load = (): Promise<typeof import('../keys/make.ts')> => import('../keys/make.ts')
  withExamples(
    twoOfficers(
      keys
        .command('generate')
        .summary('make a key at random inside the token')
        .description(
          'makes a key at random inside the token; pin, mac and track keys become key blocks',
        )
        .argument('<name>', 'name of the new key')
        .requiredOption('--usage <purpose>', USAGE)
        .option('--kind <kind>', 'tdes2 tdes3 aes128 aes192 aes256')
        .option('--exportable', 'may be handed to a peer as a key block (pin mac track)'),
    ).action(named(async () => (await load()).generate)),
    [
      'switchyard keys generate issuer.cvk --usage cvk --officer alice --with bob',
      'switchyard keys generate visa.zpk --usage pin --exportable --officer alice',
    ],
  )
  withExamples(
    twoOfficers(
      keys
        .command('exchange')
        .summary('share a key with a peer under a KEK, without key blocks')
        .description(
          'shares a pin, mac or track key with a peer who has no key blocks, enciphered under a KEK: ' +
            'makes one and prints its cryptogram, or takes the peer’s',
        )
        .argument('<name>', 'name of the key')
        .requiredOption('--usage <purpose>', 'pin mac track')
        .requiredOption('--kek <name>', 'key-encrypting key of the token')
        .option('--received <file>', 'the peer’s cryptogram; - for stdin')
        .option('--kcv <hex>', 'check value that the peer told')
        .option('--replace', 'put it in the place of the one of this name'),
    ).action(named(async () => (await load()).exchange)),
    [
      'switchyard keys exchange cups.pik --usage pin --kek cups.zmk --officer alice --with bob',
      'switchyard keys exchange cups.mak --usage mac --kek cups.zmk --received mak.txt --kcv 8CA64D ...',
    ],
  )
  withExamples(
    twoOfficers(
      keys
        .command('rotate')
        .summary('replace a generated key by a new one')
        .description('replaces a generated key by a new one; the old stays as NAME@previous')
        .argument('<name>', 'name of the key'),
    ).action(named(async () => (await load()).rotate)),
    ['switchyard keys rotate issuer.cvk --officer alice --with bob'],
  )
  withExamples(
    twoOfficers(
      keys
        .command('retire')
        .summary('end a key and destroy it')
        .description('ends a key: every generation of it is destroyed; its name must be typed')
        .argument('<name>', 'name of the key'),
    ).action(named(async () => (await load()).retire)),
    ['switchyard keys retire cups.zmk --officer alice --with bob'],
  )
}

function registerBlocks(keys: Command): void {
  withExamples(
    twoOfficers(
      keys
        .command('import')
        .summary('bring in a key from a key block')
        .description(
          'brings in a key from a key block (X9.143, TR-31; versions A to E) under a KEK of the token; ' +
            'usage, mode of use, exportability, length, strength, check value and authenticator are ' +
            'checked, and a refusal says which',
        )
        .argument('<name>', 'name of the new key')
        .requiredOption('--block <file>', 'the key block; - for stdin')
        .requiredOption('--under <kek>', 'key-encrypting key of the token')
        .requiredOption('--usage <purpose>', USAGE)
        .option('--exportable', 'may be handed on, if the block allows it')
        .option('--replace', 'put it in the place of the one of this name'),
    ).action(named(async () => (await import('../keys/blocks.ts')).importBlock)),
    ['switchyard keys import visa.zpk --block zpk.txt --under visa.zmk --usage pin --officer alice'],
  )
  withExamples(
    twoOfficers(
      keys
        .command('export')
        .summary('hand out a key as a key block')
        .description(
          'hands out an exportable key as a key block under a KEK: version D under AES, B under 3DES',
        )
        .argument('<name>', 'name of the key')
        .requiredOption('--under <kek>', 'key-encrypting key shared with the peer')
        .option('--out <file>', 'a new file; without it the block is printed'),
    ).action(named(async () => (await import('../keys/blocks.ts')).exportBlock)),
    ['switchyard keys export visa.zpk --under visa.zmk --officer alice --with bob --out zpk.txt'],
  )
}

function registerViews(keys: Command): void {
  const views = (): Promise<typeof import('../keys/views.ts')> => import('../keys/views.ts')
  const view = (name: string, what: string): Command =>
    keys
      .command(name)
      .description(what)
      .option('--config <path>', 'configuration file or directory')
      .addOption(jsonOption())
  withExamples(
    view('list', 'lists the keys that officers made, without secrets')
      .option('--all', 'retired ones too')
      .action((options: Options) =>
        atDesk(options, async (desk) => {
          const json = options['json'] !== undefined
          await (await views()).listKeys(desk, options['all'] !== undefined, json)
        }),
      ),
    ['switchyard keys list', 'switchyard keys list --all --json'],
  )
  withExamples(
    view('show', 'shows one key with its history')
      .argument('<name>', 'name of the key')
      .action((name: string, options: Options) =>
        atDesk(options, async (desk) =>
          (await views()).showKey(desk, name, options['json'] !== undefined),
        ),
      ),
    ['switchyard keys show cups.zmk'],
  )
  withExamples(
    view(
      'verify', 'computes check values anew and compares token and key blocks with the inventory',
    )
      .argument('[name]', 'one key; without it all')
      .action((name: string | undefined, options: Options) =>
        atDesk(options, async (desk) =>
          (await views()).verifyKeys(desk, name, options['json'] !== undefined),
        ),
      ),
    ['switchyard keys verify', 'switchyard keys verify cups.zmk --json'],
  )
  withExamples(
    view('inventory', 'lists every key there is, in the token and in key blocks, and who made it')
      .action((options: Options) =>
        atDesk(options, async (desk) =>
          (await views()).showInventory(desk, options['json'] !== undefined),
        ),
      ),
    ['switchyard keys inventory', 'switchyard keys inventory --json'],
  )
}
