// The Random port: the only source of chance in business code.
// Challenges, PIN pads, jitter and identifiers draw from it; switch/main.ts hands out systemRandom,
// tests and the simulation seededRandom. Keys are made in the token, never here. It must import
// nothing of ours.
import { createHash, randomBytes, randomInt } from 'node:crypto'

/** Unpredictable (or, in tests, repeatable) bytes and numbers. */
export interface Random {
  /** `count` fresh bytes in a buffer of their own. */
  bytes(count: number): Buffer

  /** A whole number, 0 <= n < limit, each equally likely; 1 <= limit <= 2^48 - 1. */
  below(limit: number): number
}

/** The operating system's generator (node:crypto): cryptographically strong. */
export const systemRandom: Random = {
  bytes: (count: number): Buffer => randomBytes(count),
  below: (limit: number): number => randomInt(limit),
}

/** Bytes of one SHA-256, drawn at once. */
export const SEEDED_BLOCK_BYTES = 32

const DRAW_BYTES = 6 // 48 bits fit a double exactly

/**
 * A Random whose output is SHA-256(seed || block number), block after block: repeatable chance for
 * tests and the simulation. Never for anything that must be unpredictable, since whoever knows the
 * seed knows all that follows.
 *
 * @param seed any text or number; print it in every failure so that the run can be repeated
 */
export function seededRandom(seed: string | number): Random {
  const key = Buffer.from(`switchyard random ${seed} `, 'utf8')
  const counter = Buffer.alloc(8)
  let block = Buffer.alloc(0)
  let used = 0
  let next = 0n

  function bytes(count: number): Buffer {
    if (!Number.isInteger(count) || count < 0) throw new RangeError(`count of bytes: ${count}`)
    const out = Buffer.alloc(count)
    for (let at = 0; at < count; ) {
      if (used === block.length) {
        counter.writeBigUInt64BE(next++)
        block = createHash('sha256').update(key).update(counter).digest()
        used = 0
      }
      const take = Math.min(count - at, block.length - used)
      block.copy(out, at, used, used + take)
      used += take
      at += take
    }
    return out
  }

  function below(limit: number): number {
    const range = 2 ** (8 * DRAW_BYTES)
    if (!Number.isInteger(limit) || limit < 1 || limit >= range) {
      throw new RangeError(`limit of a draw: ${limit}`)
    }
    // Draws in the incomplete last stripe are thrown away, so that no number is likelier.
    const fair = range - (range % limit)
    for (;;) {
      const draw = bytes(DRAW_BYTES).readUIntBE(0, DRAW_BYTES)
      if (draw < fair) return draw % limit
    }
  }

  return { bytes, below }
}
