/**
 * A header that belongs to the dialect: it stands between the framing and the MTI (VisaNet BASE I).
 *
 * One object per layout, without state. Headers of the framing (TPDU, CUPS) are in switch/framing/.
 */
export interface HeaderLayout {
  readonly name: string
  /**
   * Bytes of header at `start`; 0 when the message comes without one; -1 when it is cut off, -2
   * when its length byte or what follows it contradicts the layout.
   */
  measure(frame: Uint8Array, start: number, end: number): number
  /** Header of a request from `ownStation` (digits, as configured) to the scheme. */
  request(ownStation: string): Buffer
  /** Header of the answer to a request that came with `header`. */
  reply(header: Uint8Array, ownStation: string): Buffer
  /** Writes the total length (header and message) into a finished frame. */
  stamp(frame: Uint8Array, headerStart: number, bodyStart: number, end: number): void
  /** Whether the scheme sent the message back unprocessed. */
  rejected(header: Uint8Array): boolean
  /**
   * Named parts as text; `messageBytes` is what follows, to show a total length only when it is not
   * the real one.
   */
  describe(header: Uint8Array, messageBytes: number): Record<string, string>
  /**
   * The bytes of described parts, with the total length of a message of `messageBytes`; null when
   * they do not fit.
   */
  parse(record: Readonly<Record<string, unknown>>, messageBytes: number): Buffer | null
}
