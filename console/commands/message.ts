// `switchyard message decode|encode|...`: ISO 8583 messages as bytes and as records. Loaded by
// console/main.ts; needs neither database nor token. Masks card data unless told otherwise.
import type { Command } from 'commander'
import { jsonOption, withExamples } from '../help.ts'
import type { DescribeOptions, DiffOptions } from '../message/describe.ts'
import type { ExplainOptions } from '../message/explain.ts'
import type { LineOptions } from '../message/run.ts'
import type { CaptureDecodeOptions } from '../pcap/decode.ts'

/** Adds `message` with its verbs. */
export function register(program: Command): void {
  const message = withExamples(
    program.command('message').description('decodes, builds and explains ISO 8583 messages'),
    [
      'echo 0800822000000800000004000000000000001001215717002155F2F2F7F4F2F1F0F0F2F1F5F50001 \\',
      '  | switchyard message decode --dialect visa',
      'switchyard message decode --dialect cups --framing cups4 frames.txt > records.jsonl',
    ],
  )
  addDecode(message)
  addEncode(message)
  addExplain(message)
  addValidate(message)
  addDescribe(message)
  addDiff(message)
}

function addDecode(message: Command): void {
  withExamples(
    lineOptions(message.command('decode'))
      .description('reads one message per line as hexadecimal, prints one JSON record per line')
      .option('--show-sensitive', 'do not mask PAN, tracks, PIN block and the like')
      .option('--pcap <capture>', 'reads the TCP streams of a capture file, pcap or pcapng')
      .option('--port <number>', 'with --pcap: only connections with this TCP port')
      .action(async (file: string, options: LineOptions & Partial<CaptureDecodeOptions>) => {
        const { pcap } = options
        if (pcap === undefined) {
          const { decodeLines } = await import('../message/run.ts')
          process.exitCode = await decodeLines(file, options)
        } else {
          const { decodeCapture } = await import('../pcap/decode.ts')
          process.exitCode = await decodeCapture({ ...options, pcap })
        }
      }),
    [
      'switchyard message decode --dialect cups --framing cups4 --pcap link.pcap --port 7101',
      'switchyard message decode --dialect cups-pos --framing 2b+tpdu+app < frames.txt',
      'switchyard message decode --dialect visa --framing visa --show-sensitive frames.txt',
    ],
  )
}

function addEncode(message: Command): void {
  withExamples(
    lineOptions(message.command('encode'))
      .description('reads one JSON record per line, as decode prints it, prints hexadecimal lines')
      .action(async (file: string, options: LineOptions) => {
        const { encodeLines } = await import('../message/run.ts')
        process.exitCode = await encodeLines(file, options)
      }),
    [
      'switchyard message encode --dialect cups < records.jsonl',
      `echo '{"mti":"0820","fields":{"7":"0825112400","11":"863743","70":"301"}}' \\`,
      '  | switchyard message encode --dialect cups --framing cups4',
    ],
  )
}

function addValidate(message: Command): void {
  withExamples(
    lineOptions(message.command('validate'))
      .description('checks one message per line against the rules of its dialect')
      .action(async (file: string, options: LineOptions) => {
        const { validateLines } = await import('../message/validate.ts')
        process.exitCode = await validateLines(file, options)
      }),
    ['switchyard message validate --dialect cups --framing cups4 frames.txt'],
  )
}

function addExplain(message: Command): void {
  withExamples(
    message.command('explain')
      .description('says which framings and dialects fit, and what each byte is')
      .argument('[hex...]',
        'hexadecimal, a dump, base64 or a log line; - or nothing for standard input')
      .option('--show-sensitive', 'do not mask PAN, tracks, PIN block and the like')
      .option('--dialects <directory>', "a directory with a bank's own dialect files")
      .addOption(jsonOption())
      .action(async (words: string[], options: ExplainOptions) => {
        const { explain } = await import('../message/explain.ts')
        process.exitCode = await explain(words, options)
      }),
    [
      'switchyard message explain 003E0000160102003E...',
      'tcpdump -XX -r link.pcap | switchyard message explain',
    ],
  )
}

function addDescribe(message: Command): void {
  withExamples(
    message.command('describe')
      .description('prints what a dialect says of its fields, of one field, or of one message')
      .argument('[subject]', 'a field number or an MTI')
      .requiredOption('--dialect <name>', 'which dialect')
      .option('--dialects <directory>', "a directory with a bank's own dialect files")
      .addOption(jsonOption())
      .action(async (subject: string | undefined, options: DescribeOptions) => {
        const { describe } = await import('../message/describe.ts')
        process.exitCode = describe(subject, options)
      }),
    ['switchyard message describe --dialect visa 62', 'switchyard message describe --dialect cups 0200'],
  )
}

function addDiff(message: Command): void {
  withExamples(
    message.command('diff')
      .description('prints in what two dialects differ, field by field')
      .argument('<before>', 'a dialect')
      .argument('<after>', 'a dialect')
      .option('--dialects <directory>', "a directory with a bank's own dialect files")
      .addOption(jsonOption())
      .action(async (before: string, after: string, options: DiffOptions) => {
        const { diff } = await import('../message/describe.ts')
        process.exitCode = diff(before, after, options)
      }),
    ['switchyard message diff visa bank-visa --dialects /etc/switchyard/dialects'],
  )
}

function lineOptions(command: Command): Command {
  return command
    .argument('[file]', 'input, - for standard input', '-')
    .requiredOption('--dialect <name>', 'how the fields are written: visa, cups, iso87-ascii ...')
    .option('--framing <name>', 'what stands before the message, or none', 'none')
    .option('--dialects <directory>', "a directory with a bank's own dialect files")
}
