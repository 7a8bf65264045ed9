// `switchyard simulate`: peers of the switch as commands. Schemes stay until they are told to end;
// terminals run the operations that are named and print what came back. Loaded by console/main.ts.
// Cards are named on the command line, never numbered; PINs come from simulators/cards.ts only.
import { type Command, InvalidArgumentError } from 'commander'
import { jsonOption, withExamples } from '../help.ts'

interface SchemeOptions {
  config?: string
  rule: string[]
  rules?: string
  book?: string
  listen?: Endpoint
  dial?: Endpoint
}

interface TerminalOptions {
  config?: string
  do: string
  card: string
  amount: number
  terminal?: string
  connect?: Endpoint
  timeoutMs?: number
  book?: string
  stripe?: boolean
  pin: boolean
  wrongPin?: boolean
  badMac?: boolean
  json?: boolean
}

interface Endpoint {
  host: string
  port: number
}

/** Adds `simulate` with its peers. */
export function register(program: Command): void {
  const simulate = withExamples(
    program.command('simulate').description('runs peers of the switch: schemes, terminals'),
    [
      'switchyard simulate visa --rule amount=9100:silent',
      'switchyard simulate pos --do sale,balance --card own-1 --amount 12.50',
      'switchyard simulate tell visa rule amount=5000:decline=51',
    ],
  )
  addScheme(simulate, 'visa', 'the Visa network and the issuers behind it', [
    'switchyard simulate visa',
    'switchyard simulate visa --rule amount=9100,mti=0100:silent --rule pan=4226:delay=3000',
    'switchyard simulate visa --rules faults.yaml   # kill -HUP reads the file again',
  ])
  addScheme(simulate, 'cups', 'the CUPS centre, issuers and acquirers behind it', [
    'switchyard simulate cups',
    'switchyard simulate cups --rule amount=7700:bad-mac',
  ])
  addTerminal(simulate, 'pos', 'a UnionPay POS terminal', [
    'switchyard simulate pos --do sale --card own-1 --amount 12.50',
    'switchyard simulate pos --do sale,repeat,reversal --card visa-1 --amount 42 --stripe',
    'switchyard simulate pos --do sale --card own-3 --amount 1 --wrong-pin --json',
  ])
  addTerminal(simulate, 'atm', 'an ATM', [
    'switchyard simulate atm --do balance,withdrawal,balance --card own-2 --amount 100',
    'switchyard simulate atm --do withdrawal --card cups-1 --amount 200 --stripe',
  ])
  addTell(simulate)
  addDemonstration(simulate)
}

function addScheme(parent: Command, name: 'visa' | 'cups', what: string, examples: string[]): void {
  const command = parent
    .command(name)
    .description(`plays ${what}, until Ctrl-C`)
    .option('--config <path>', 'configuration file or directory')
    .option('--rule <rule>', 'a fault, e.g. amount=9100:silent; repeatable', collect, [])
    .option('--rules <file>', 'faults from a YAML file; SIGHUP reads it again')
    .option('--book <file>', 'JSON-lines file of its book, or none', undefined)
    .option('--listen <host:port>', 'instead of the configured address', endpoint)
  if (name === 'cups') command.option('--dial <host:port>', 'where its own line goes', endpoint)
  command.action(async (options: SchemeOptions) => {
    const { simulateScheme } = await import('../simulate/scheme.ts')
    await simulateScheme(name, options)
  })
  withExamples(command, examples)
}

function addTerminal(parent: Command, name: 'pos' | 'atm', what: string, examples: string[]): void {
  const operations =
    name === 'pos'
      ? 'sign-on,sale,balance,repeat,reversal'
      : 'sign-on,withdrawal,balance,repeat,reversal'
  const command = parent
    .command(name)
    .description(`plays ${what} and prints what came back`)
    .option(
      '--do <operations>',
      `any of ${operations}, in order`,
      name === 'pos' ? 'sale' : 'withdrawal',
    )
    .option('--card <name>', 'a card of the demonstration, by name', 'own-1')
    .option('--amount <amount>', 'e.g. 12.50', amountMinor, 1_000)
    .option('--terminal <id>', 'a terminal of the configuration')
    .option('--connect <host:port>', 'instead of the configured address', endpoint)
    .option('--timeout-ms <ms>', 'how long to wait for an answer', wholeNumber)
    .option('--book <file>', 'JSON-lines file of what the terminal saw')
    .option('--stripe', 'read the magnetic stripe of a chip card')
    .option('--no-pin', 'without PIN (POS only)')
    .option('--wrong-pin', "with a PIN that is not the card's")
    .option('--bad-mac', 'with a MAC that is wrong')
    .option('--config <path>', 'configuration file or directory')
    .addOption(jsonOption())
    .action(async (options: TerminalOptions) => {
      const { simulateTerminal } = await import('../simulate/terminal.ts')
      await simulateTerminal(name, options)
    })
  withExamples(command, examples)
}

function addTell(parent: Command): void {
  const command = parent
    .command('tell')
    .description('gives a running scheme simulator a command and prints its answer')
    .argument('<name>', 'cups or visa')
    .argument(
      '<command...>',
      'status, totals, list, clear, rule <rule>, find <rrn>, renew-keys, or JSON',
    )
    .action(async (name: string, words: string[]) => {
      const { tellScheme } = await import('../simulate/scheme.ts')
      await tellScheme(name, words.join(' '))
    })
  withExamples(command, [
    'switchyard simulate tell visa status',
    'switchyard simulate tell visa rule amount=5000:decline=51',
    'switchyard simulate tell cups totals',
  ])
}

function addDemonstration(parent: Command): void {
  const command = parent
    .command('demonstration')
    .description('runs every flow once against the running switch and simulators')
    .option('--config <path>', 'configuration file or directory')
    .addOption(jsonOption())
    .action(async (options: { config?: string; json?: boolean }) => {
      const { demonstrateOnce } = await import('../simulate/demonstration.ts')
      await demonstrateOnce(options.config, options.json === true)
    })
  withExamples(command, [
    'switchyard simulate demonstration',
    'switchyard simulate demonstration --json',
  ])
}

function collect(value: string, before: string[]): string[] {
  return [...before, value]
}

function endpoint(text: string): Endpoint {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) throw new InvalidArgumentError('write host:port')
  return { host: match[1] ?? match[2] ?? '', port }
}

function wholeNumber(text: string): number {
  if (!/^[1-9][0-9]{0,6}$/.test(text)) throw new InvalidArgumentError('write a whole number')
  return Number(text)
}

/** An amount in units as minor units, without a floating point number in between. */
function amountMinor(text: string): number {
  const match = /^([0-9]{1,10})(?:\.([0-9]{1,2}))?$/.exec(text)
  if (match === null) throw new InvalidArgumentError('write an amount such as 12.50')
  return Number(match[1]) * 100 + Number((match[2] ?? '').padEnd(2, '0'))
}
