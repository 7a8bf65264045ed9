/**
 * Every fuzz target. The files are imported when asked for, because coverage must be counting
 * before the code under test is compiled.
 */
import type { Target } from './target.ts'

interface TargetFile {
  readonly targets: readonly Target[]
}

const FILES: readonly (() => Promise<TargetFile>)[] = [
  () => import('../../switch/framing/framing.fuzz.ts'),
  () => import('../../switch/codec/walk.fuzz.ts'),
  () => import('../../emv/emv.fuzz.ts'),
  () => import('../../hsm/algorithms/algorithms.fuzz.ts'),
  () => import('../../console/message/message.fuzz.ts'),
  () => import('../../console/message/parsed.fuzz.ts'),
  () => import('./canary.fuzz.ts'),
]

/** Names of targets that must fail: they prove that the fuzzer finds what is there. */
export const isCanary = (name: string): boolean => name.startsWith('canary-')

/** All targets, canaries last. */
export async function loadTargets(): Promise<Target[]> {
  const found: Target[] = []
  for (const load of FILES) found.push(...(await load()).targets)
  return found
}
