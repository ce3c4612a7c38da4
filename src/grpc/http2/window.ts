import { Http2Error, MASK_31 } from './frame.js';

/** RFC 9113, section 6.9.2. */
export const INITIAL_WINDOW = 65_535;

/** How many more octets of DATA the peer takes; may be negative after it made its windows smaller. */
export class SendWindow {
  #left: number;

  constructor(left: number) {
    this.#left = left;
  }

  get left(): number {
    return this.#left;
  }

  take(octets: number): void {
    this.#left -= octets;
  }

  /** @throws Http2Error where the peer opens it beyond what the protocol counts */
  open(octets: number): void {
    this.#left += octets;
    if (this.#left > MASK_31) throw new Http2Error('FLOW_CONTROL_ERROR', 'a window beyond 2^31-1');
  }
}

/** How many more octets of DATA this side takes. What was taken is told in larger steps, not octet by octet. */
export class ReceiveWindow {
  readonly #size: number;
  #left: number;
  #taken = 0;

  constructor(size: number) {
    this.#size = size;
    this.#left = size;
  }

  /** @throws Http2Error where the peer sends more than it may */
  receive(octets: number): void {
    this.#left -= octets;
    if (this.#left < 0) throw new Http2Error('FLOW_CONTROL_ERROR', 'more data than the window allows');
  }

  /** @returns by how much to open the window now; 0: not yet */
  consume(octets: number): number {
    this.#taken += octets;
    if (this.#taken < this.#size / 2) return 0;
    const opened = this.#taken;
    this.#left += opened;
    this.#taken = 0;
    return opened;
  }
}
