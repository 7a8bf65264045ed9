/**
 * Which framings and dialects fit given bytes: every pair is tried, those that fit come first, the
 * likeliest at the top.
 *
 * Used by `message explain`. The likeliness only orders what fits; it never makes something fit.
 */
import type { Dialect } from '../../switch/codec/dialect.ts'
import { Fault } from '../../switch/codec/fault.ts'
import { View } from '../../switch/codec/view.ts'
import { walkUntilFault } from '../../switch/codec/walk.ts'
import { FRAMING_NAMES } from '../../switch/framing/framing.ts'
import type { Framing } from '../../switch/framing/framing.ts'
import { framingFor } from '../../switch/framing/framings.ts'
import { cutOne } from './codec.ts'
import type { FrameParts } from './record.ts'

export interface Candidate {
  readonly framing: Framing
  readonly dialect: Dialect
  readonly parts: FrameParts
  /** Null when the message fits. */
  readonly fault: { readonly kind: string; readonly field: number; readonly offset: number } | null
  readonly score: number
}

/** All pairs whose framing fits, best first. */
export function candidatesFor(bytes: Uint8Array, dialects: readonly Dialect[]): Candidate[] {
  const found: Candidate[] = []
  const view = new View()
  const fault = new Fault()
  for (const name of FRAMING_NAMES) {
    const framing = framingFor(name)
    const parts = cutOne(framing, framingFor(name, { lengthIncludesItself: true }), bytes)
    if (!('messageStart' in parts)) continue
    for (const dialect of dialects) {
      const fits = walkUntilFault(dialect, bytes, parts.messageStart, parts.end, view, fault)
      const score = scoreOf(view, framing, parts, fits ? null : fault)
      const why = fits ? null : { kind: fault.kind, field: fault.field, offset: fault.offset }
      found.push({ framing, dialect, parts, fault: why, score })
    }
  }
  return found.sort((a, b) => b.score - a.score)
}

const FITS = 10_000

function scoreOf(view: View, framing: Framing, parts: FrameParts, fault: Fault | null): number {
  let score = envelopeScore(framing, parts)
  if (fault !== null && view.fieldsStart === 0) return score - FITS
  if (view.dialect.spec.framing === framing.name) score += 40
  score += mtiScore(view)
  if (fault === null) score += FITS
  else score += (fault.offset - parts.messageStart) / 2
  for (const field of view.fields()) score += view.text(field).startsWith('hex:') ? -25 : 5
  return score + dateScore(view)
}

/** A TPDU begins with 60, an application header with 60 or 61. */
function envelopeScore(framing: Framing, parts: FrameParts): number {
  const at = parts.envelopeStart
  let score = framing.name === 'none' ? 0 : 30
  if (framing.name.includes('tpdu') && parts.bytes[at] !== 0x60) score -= 500
  if (framing.name.includes('app') && ![0x60, 0x61].includes(parts.bytes[at + 5] ?? 0)) score -= 500
  return score
}

/** Version as the dialect's standard has it, a class from 1 to 8, an origin up to 5. */
function mtiScore(view: View): number {
  const [version = '', kind = '', , origin = ''] = view.mti
  const of1993 = view.dialect.spec.name.startsWith('iso93') ||
    view.dialect.spec.extends === 'iso93-ascii'
  let score = 0
  if (version !== (of1993 ? '1' : '0')) score -= 200
  if (!'12345678'.includes(kind)) score -= 200
  if (!'012345'.includes(origin)) score -= 50
  return score
}

/** Dates and times that can be dates and times. */
function dateScore(view: View): number {
  let score = 0
  for (const field of [7, 13]) {
    if (!view.has(field)) continue
    const text = view.text(field)
    const month = Number(text.slice(0, 2))
    const day = Number(text.slice(2, 4))
    score += month >= 1 && month <= 12 && day >= 1 && day <= 31 ? 20 : -60
  }
  return score
}
