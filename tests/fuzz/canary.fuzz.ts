/**
 * Targets with planted mistakes. Each must fail within its time: a fuzzer that finds nothing here
 * would find nothing elsewhere.
 */
import { changedMessage, slowMessage } from './slow-builder.ts'
import { slowOf } from './dialects.ts'
import { slowDecode } from './slow-decoder.ts'
import { expect } from './target.ts'
import type { Target } from './target.ts'

const dialect = slowOf('iso87-binary')

/**
 * Four bytes in a row, one `if` after the other: without coverage 2^32 tries, with it some
 * thousand.
 */
function steps(input: Uint8Array): string {
  if (input[0] === 0x9f) {
    if (input[1] === 0x26) {
      if (input[2] === 0x08) {
        if (input[3] === 0x7e) throw new TypeError('the planted mistake')
      }
    }
  }
  return ''
}

/** A call that takes long for a few inputs only. */
function slow(input: Uint8Array): string {
  const end = performance.now() + (input[0] === 0x80 ? 80 : 0)
  while (performance.now() < end);
  return ''
}

/** A decoder that forgets the pad nibble of odd numbers, against one that does not. */
function forgetful(input: Uint8Array): string {
  const message = slowDecode(dialect, input)
  if ('kinds' in message) {
    expect(!message.kinds.includes('pad_not_valid'), 'the planted mistake')
    return message.kinds.join()
  }
  return 'taken'
}

/** A call that never ends: only a watcher in another thread can tell. */
function endless(input: Uint8Array): string {
  while (input[0] === 0x80);
  return ''
}

export const targets: readonly Target[] = [
  {
    name: 'canary-blocks', covers: ['tests/fuzz/canary.fuzz.ts'], bytesMax: 6,
    seeds: () => [Buffer.alloc(6)], run: steps,
  },
  {
    name: 'canary-slow', covers: [], bytesMax: 16, seeds: () => [Buffer.alloc(4)], run: slow,
  },
  {
    name: 'canary-endless', covers: [], bytesMax: 16, seeds: () => [Buffer.alloc(4)], run: endless,
  },
  {
    name: 'canary-differential', covers: [], bytesMax: 2000,
    seeds: (random) => [slowMessage(dialect, random)],
    mutate: (input, random) => changedMessage(dialect, input, random),
    run: forgetful,
  },
]
