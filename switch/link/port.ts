/**
 * The Net port: byte streams to and from peers, nothing about messages.
 *
 * Called by `link.ts`; implemented by `tcp.ts` (real sockets) and by the simulator's network. A
 * connection is written to in any number of pieces per tick and the adapter sends them in one go.
 * Half-open peers, resets and refused dials all end in exactly one `closed`.
 */

export interface Endpoint {
  host: string
  port: number
}

/** What the owner of a connection is told. `closed` comes once, last, also when a dial fails. */
export interface ConnectionEvents {
  opened(): void
  data(chunk: Uint8Array): void // valid during the call only; the receiver copies what it keeps
  /** `cause` is a word: peer_closed, reset, refused, timed_out, closed_by_us:<why>. */
  closed(cause: string): void
}

export interface Connection {
  readonly remote: string
  /**
   * Queues bytes; false when the connection is closed or its bounded write buffer is full (nothing
   * was queued then).
   */
  write(bytes: Uint8Array): boolean
  /** Bytes accepted by write() and not yet taken by the operating system. */
  bufferedBytes(): number
  close(why: string): void
}

export interface Listener {
  readonly port: number
  close(): Promise<void>
}

export interface Net {
  /** Rejects with a one-line error that names host, port and cause, e.g. a port in use. */
  listen(at: Endpoint, accept: (connection: Connection) => ConnectionEvents): Promise<Listener>
  connect(to: Endpoint, events: ConnectionEvents): Connection
}
