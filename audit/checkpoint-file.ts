// The checkpoints' second place: a file outside the database, one JSON object a line, only added
// to. Called by audit/store.ts and `switchyard audit`. A bank puts it on storage that keeps what
// was written (docs/security/audit.md). It must never be rewritten here.

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

import { checkpointOf } from './checkpoint.ts'
import type { Checkpoint } from './checkpoint.ts'

/** A line that is no checkpoint. */
export class CheckpointFileFault extends Error {
  readonly line: number

  constructor(line: number) {
    super(`line ${line} of the checkpoint file is no checkpoint`)
    this.name = 'CheckpointFileFault'
    this.line = line
  }
}

/** All checkpoints of the file in order, or null without a file. Throws CheckpointFileFault. */
export function readCheckpoints(path: string): Checkpoint[] | null {
  if (!existsSync(path)) return null
  const lines = readFileSync(path, 'utf8').split('\n')
  const points: Checkpoint[] = []
  lines.forEach((line, at) => {
    if (line === '' && at === lines.length - 1) return
    const point = parsed(line)
    if (point === null) throw new CheckpointFileFault(at + 1)
    points.push(point)
  })
  return points
}

/** Adds checkpoints and waits until the disk has them. */
export function appendCheckpoints(path: string, points: readonly Checkpoint[]): void {
  if (points.length === 0) return
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const file = openSync(path, 'a', 0o600)
  try {
    writeSync(file, points.map((point) => `${JSON.stringify(point)}\n`).join(''))
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function parsed(line: string): Checkpoint | null {
  try {
    return checkpointOf(JSON.parse(line))
  } catch {
    return null
  }
}
