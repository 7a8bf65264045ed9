// Data object lists (PDOL, CDOL, DDOL, TDOL: tags 9F38, 8C, 8D, 9F49, 97): reading a list and
// joining the values it asks for. Pure. Called by simulators of cards and terminals and by offline
// authentication. EMV Book 3, 5.4.

import type { EmvLookup } from './cryptogram-input.ts'
import { demandEmv } from './faults.ts'
import { tagEntry } from './tags.ts'

/** One request of a list: tag and wanted length in bytes. */
export interface DataObjectRequest {
  readonly tag: number
  readonly bytes: number
}

/** Longest list that is read; EMV limits a DOL to 252 bytes. */
const LIST_BYTES_MAX = 252

/** Requests of a list in order. Throws EmvError 'length' or 'format'. */
export function parseDataObjectList(list: Uint8Array): readonly DataObjectRequest[] {
  demandEmv(list.length <= LIST_BYTES_MAX, 'length', 'data object list')
  const requests: DataObjectRequest[] = []
  for (let at = 0; at < list.length; ) {
    let tag = list[at]!
    if ((tag & 0x1f) === 0x1f) {
      let more = true
      for (let extra = 0; more; extra++) {
        at++
        demandEmv(at < list.length && extra < 2, 'format', 'tag of a data object list')
        tag = tag * 256 + list[at]!
        more = (list[at]! & 0x80) !== 0
      }
    }
    at++
    demandEmv(at < list.length, 'format', 'length of a data object list')
    requests.push({ tag, bytes: list[at]! })
    at++
  }
  return requests
}

/**
 * A value cut or filled to the length a list wants: numeric keeps its right end and is filled with
 * zeros on the left; compressed numeric keeps its left end and is filled with F; others keep their
 * left end and are filled with zeros on the right (EMV Book 3, 5.4).
 */
export function fitDataObject(tag: number, value: Uint8Array, bytes: number): Uint8Array {
  const coding = tagEntry(tag)?.coding ?? 'b'
  const out = new Uint8Array(bytes)
  if (coding === 'n') {
    if (value.length >= bytes) return value.slice(value.length - bytes)
    out.set(value, bytes - value.length)
    return out
  }
  if (coding === 'cn') out.fill(0xff)
  out.set(value.subarray(0, bytes))
  return out
}

/** The values of a list one after another; an absent object is zeros. */
export function dataObjectListValues(
  requests: readonly DataObjectRequest[],
  lookup: EmvLookup,
): Uint8Array {
  const total = requests.reduce((sum, { bytes }) => sum + bytes, 0)
  const out = new Uint8Array(total)
  let at = 0
  for (const { tag, bytes } of requests) {
    const value = lookup(tag)
    if (value !== undefined) out.set(fitDataObject(tag, value, bytes), at)
    at += bytes
  }
  return out
}
