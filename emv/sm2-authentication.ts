// Offline data authentication with SM2 (JR/T 0025 part 17): certificates that carry their key
// readable and a signature over it. Pure; the signature check is passed in, because this room may
// not import the algorithms. No public sample exists: the layout follows the standard's text and
// nothing here is proved by a known answer. Called by the simulators and personalisation checks.
//
// issuer  12 ‖ issuer id 4 ‖ expiry 2 ‖ serial 3 ‖ 04 ‖ 00 ‖ 11 ‖ 40 ‖ X ‖ Y ‖ r ‖ s
// card    14 ‖ PAN 10 ‖ expiry 2 ‖ serial 3 ‖ 04 ‖ 00 ‖ 11 ‖ 40 ‖ X ‖ Y ‖ r ‖ s

import { demandEmv } from './faults.ts'

/** Checks an SM2 signature with SM3 under the default identity. */
export type Sm2Check = (
  key: { readonly x: Uint8Array; readonly y: Uint8Array },
  message: Uint8Array,
  signature: { readonly r: Uint8Array; readonly s: Uint8Array },
) => boolean

/** An SM2 public key. */
export interface Sm2Key {
  readonly x: Uint8Array
  readonly y: Uint8Array
}

/** Contents of an SM2 certificate. */
export interface Sm2Certificate {
  /** Issuer identifier (4 bytes) or PAN (10 bytes), padded F. */
  readonly subject: Uint8Array
  readonly expiry: Uint8Array
  readonly serial: Uint8Array
  readonly key: Sm2Key
}

const SIGNATURE_BYTES = 64
const KEY_BYTES = 64

function recover(
  authority: Sm2Key,
  certificate: Uint8Array,
  format: 0x12 | 0x14,
  subjectBytes: number,
  staticData: Uint8Array,
  check: Sm2Check,
): Sm2Certificate {
  const fixed = 1 + subjectBytes + 2 + 3 + 4
  const wanted = fixed + KEY_BYTES + SIGNATURE_BYTES
  demandEmv(certificate.length === wanted, 'length', 'SM2 certificate')
  demandEmv(certificate[0] === format, 'format', 'format of the SM2 certificate')
  const codesAt = fixed - 4
  const codes = certificate[codesAt] === 0x04 && certificate[codesAt + 3] === KEY_BYTES
  demandEmv(codes, 'format', 'algorithms of the SM2 certificate')
  const signed = new Uint8Array(fixed + KEY_BYTES + staticData.length)
  signed.set(certificate.subarray(0, fixed + KEY_BYTES))
  signed.set(staticData, fixed + KEY_BYTES)
  const signature = {
    r: certificate.slice(fixed + KEY_BYTES, fixed + KEY_BYTES + 32),
    s: certificate.slice(fixed + KEY_BYTES + 32),
  }
  demandEmv(check(authority, signed, signature), 'hash', 'signature of the SM2 certificate')
  const at = 1 + subjectBytes
  return {
    subject: certificate.slice(1, at),
    expiry: certificate.slice(at, at + 2),
    serial: certificate.slice(at + 2, at + 5),
    key: {
      x: certificate.slice(fixed, fixed + 32),
      y: certificate.slice(fixed + 32, fixed + 64),
    },
  }
}

/** Issuer certificate (format 12). Throws EmvError 'length', 'format' or 'hash'. */
export function verifySm2IssuerCertificate(
  authority: Sm2Key,
  certificate: Uint8Array,
  check: Sm2Check,
): Sm2Certificate {
  return recover(authority, certificate, 0x12, 4, new Uint8Array(0), check)
}

/** Card certificate (format 14) over the static data. Throws as the issuer's does. */
export function verifySm2CardCertificate(
  issuer: Sm2Key,
  certificate: Uint8Array,
  staticData: Uint8Array,
  check: Sm2Check,
): Sm2Certificate {
  return recover(issuer, certificate, 0x14, 10, staticData, check)
}
