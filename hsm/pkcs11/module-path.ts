// Where the PKCS#11 module is. Called by main.ts, the demonstration and `switchyard hsm status`.
// A configured path is taken as it is; without one, SoftHSM is looked for where Debian and Ubuntu
// put it, on either processor type.

import { existsSync } from 'node:fs'

/** SoftHSM 2.6 as packaged: Debian 12 and Ubuntu 22.04 and later, x86-64 and ARM64. */
export const SOFTHSM_PATHS: readonly string[] = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
]

/** NSS softokn as packaged (libnss3). */
export const SOFTOKN_PATHS: readonly string[] = [
  '/usr/lib/x86_64-linux-gnu/libsoftokn3.so',
  '/usr/lib/aarch64-linux-gnu/libsoftokn3.so',
  '/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so',
  '/usr/lib/aarch64-linux-gnu/nss/libsoftokn3.so',
  '/usr/lib64/libsoftokn3.so',
]

/**
 * Path of the PKCS#11 module to load, or null when none was found.
 * @param configured a path from the configuration; nothing else is tried when it is given
 * @param candidates paths tried in order without one
 */
export function findModule(
  configured?: string,
  candidates: readonly string[] = SOFTHSM_PATHS,
): string | null {
  if (configured !== undefined) return existsSync(configured) ? configured : null
  return candidates.find((path) => existsSync(path)) ?? null
}

/**
 * What NSS softokn must be told at initialisation: TokenAddress.libraryParameters.
 * @param directory holds its key database (key4.db, cert9.db)
 */
export function softoknParameters(directory: string): string {
  return `configdir='sql:${directory}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=''`
}
