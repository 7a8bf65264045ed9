/**
 * `switchyard message decode --pcap FILE`: the messages of a capture as records, one line each,
 * with the place where they were found.
 *
 * Called by console/commands/message.ts. Masks like `message decode`; it never prints bytes of a
 * stream that it cannot cut.
 */
import { readFileSync, statSync } from 'node:fs'
import { stdout } from 'node:process'
import { CommandFailed, EXIT, WrongUsage } from '../help.ts'
import { FRAME_BYTES_MAX, faultRecord } from '../message/codec.ts'
import { LineWriter } from '../message/lines.ts'
import { codecFor, type LineOptions } from '../message/run.ts'
import { captureFault } from './capture-file.ts'
import { framesOfCapture, type Captured } from './frames.ts'

export interface CaptureDecodeOptions extends LineOptions {
  /** The capture file, pcap or pcapng. */
  readonly pcap: string
  /** Only connections with this TCP port. */
  readonly port?: string
}

/** The file is read whole: a larger one is cut with editcap or tcpdump -C first. */
const CAPTURE_BYTES_MAX = 1024 * 1024 * 1024

/**
 * Prints the records; the exit code is 1 when a message or a stream could not be read.
 *
 * @throws WrongUsage without framing or with a port that is none; CommandFailed for a bad file
 */
export async function decodeCapture(options: CaptureDecodeOptions): Promise<number> {
  const codec = codecFor(options)
  if (codec.framing.prefixBytes === 0 && !['cups', 'tpdu', 'tpdu+app'].includes(options.framing)) {
    throw new WrongUsage('--pcap needs --framing: a stream has no ends of messages',
      `this dialect is usually run over ${codec.dialect.spec.framing ?? '2b'}`)
  }
  const port = portOf(options.port)
  const file = readCapture(options.pcap)
  const output = new LineWriter(stdout)
  let failed = false
  const found = framesOfCapture(file, {
    framing: codec.framing, frameBytesMax: FRAME_BYTES_MAX, ...(port === null ? {} : { port }),
  })
  for (const one of found) {
    const record = recordOf(one, (bytes) => codec.decode(bytes, options.showSensitive === true))
    failed ||= 'error' in record
    await output.line(JSON.stringify({ capture: placeOf(one), ...record }))
  }
  await output.flush()
  return failed ? EXIT.failed : EXIT.done
}

function recordOf(one: Captured, decode: (bytes: Uint8Array) => object): object {
  switch (one.kind) {
    case 'frame':
      return decode(one.bytes)
    case 'keep_alive':
      return { keep_alive: '' }
    case 'fault':
      return faultRecord(one.fault, 0, -1)
  }
}

function placeOf({ place }: Captured): Record<string, string> {
  const { from, to, atUs } = place
  return { at: new Date(Math.floor(atUs / 1000)).toISOString(), from, to }
}

function portOf(text: string | undefined): number | null {
  if (text === undefined) return null
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_535) throw new WrongUsage(`${text} is no TCP port`)
  return port
}

function readCapture(name: string): Uint8Array {
  let file: Uint8Array
  try {
    if (statSync(name).size > CAPTURE_BYTES_MAX) {
      throw new CommandFailed(`${name} is larger than 1 GiB`, 'cut it with editcap -c')
    }
    file = readFileSync(name)
  } catch (error) {
    if (error instanceof CommandFailed) throw error
    const { code = 'failed' } = error as NodeJS.ErrnoException
    throw new CommandFailed(`cannot read ${name}: ${code}`)
  }
  if (captureFault(file) !== null) throw new CommandFailed(`${name} is no pcap or pcapng file`)
  return file
}
