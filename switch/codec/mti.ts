/**
 * Arithmetic of message type identifiers. Called by links and the pipeline; knows no dialect.
 */

/** 0800 to 0810; a repeat is answered like the first (digit 4 even), ISO 8583:1987 clause 4.1. */
export function answerMti(requestMti: string): string {
  const number = Number(requestMti)
  const origin = number % 10
  return String(number - (origin & 1) + 10).padStart(4, '0')
}
