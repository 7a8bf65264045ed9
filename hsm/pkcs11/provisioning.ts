// Making SoftHSM tokens: the directory and configuration, and the first initialisation. Called by
// hsm/demonstration.ts and by tests. A production token is initialised by its officers with the
// vendor's tools, never by this file.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import pkcs11js from 'pkcs11js'

import { useSoftHsmConfiguration } from './environment.ts'
import { whileOpening } from './file-lock.ts'
import { loadedModule, slotOf } from './session.ts'
import { TokenFault, tokenFault } from './vendor-errors.ts'

const PRIVATE_DIRECTORY = 0o700
const PRIVATE_FILE = 0o600
const P = pkcs11js

/**
 * Makes a token directory with SoftHSM's configuration and points this process at it. Idempotent.
 * @param directory absolute path; created with mode 0700
 */
export function prepareSoftHsm(directory: string): void {
  const objects = join(directory, 'objects')
  mkdirSync(objects, { recursive: true, mode: PRIVATE_DIRECTORY })
  const configuration = join(directory, 'softhsm2.conf')
  const lines = [
    '# Written by Switchyard at start; changes are lost.',
    `directories.tokendir = ${objects}`,
    'objectstore.backend = file',
    'log.level = ERROR',
    'slots.removable = false',
    '',
  ]
  writeFileSync(configuration, lines.join('\n'), { mode: PRIVATE_FILE })
  useSoftHsmConfiguration(configuration)
}

/** Whether the module has a token of this label. */
export function hasToken(module: string, label: string): boolean {
  return whileOpening(() => isPresent(module, label))
}

function isPresent(module: string, label: string): boolean {
  try {
    slotOf(loadedModule(module), label)
    return true
  } catch (error) {
    if (error instanceof TokenFault && error.code === 'token_not_present') return false
    throw tokenFault(error)
  }
}

/**
 * Initialises a token in a free slot, or again an existing one of this label, whose objects are
 * then gone, and sets the user's PIN.
 */
export function initializeToken(
  module: string,
  label: string,
  officerPin: string,
  userPin: string,
): void {
  whileOpening(() => initializeAlone(module, label, officerPin, userPin))
}

function initializeAlone(
  module: string,
  label: string,
  officerPin: string,
  userPin: string,
): void {
  try {
    const pkcs11 = loadedModule(module)
    const slot = isPresent(module, label) ? slotOf(pkcs11, label) : freeSlot(pkcs11)
    pkcs11.C_InitToken(slot, officerPin, label)
    const flags = P.CKF_SERIAL_SESSION | P.CKF_RW_SESSION
    const session = pkcs11.C_OpenSession(slotOf(pkcs11, label), flags)
    try {
      pkcs11.C_Login(session, P.CKU_SO, officerPin)
      pkcs11.C_InitPIN(session, userPin)
      pkcs11.C_Logout(session)
    } finally {
      pkcs11.C_CloseSession(session)
    }
  } catch (error) {
    throw tokenFault(error)
  }
}

function freeSlot(pkcs11: pkcs11js.PKCS11): Buffer {
  const free = pkcs11
    .C_GetSlotList(false)
    .find((slot) => (pkcs11.C_GetTokenInfo(slot).flags & P.CKF_TOKEN_INITIALIZED) === 0)
  if (free === undefined) throw new TokenFault('other', 'no_free_slot')
  return free
}
