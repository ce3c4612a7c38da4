import { Http2Error } from './frame.js';

/** Far more than a busy peer sends: Go's client asks with a PING how much its window should be, after each answer at the most. */
const FRAMES_MAX = 20_000;
/** Octets of answers that the peer has not read. */
const BACKLOG_MAX = 4 * 1024 * 1024;

/**
 * Counts frames that carry nothing (PING, SETTINGS, RST_STREAM, empty DATA and the like) within a second. They cost us
 * an answer or a look and the peer nothing, so that a flood of them is an attack or a fault (CVE-2019-9512 and its
 * siblings, CVE-2023-44487).
 */
export class FloodGuard {
  #second = 0;
  #frames = 0;

  /** @param backlog octets that wait to be read by the peer @throws Http2Error */
  count(backlog: number): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) [this.#second, this.#frames] = [second, 0];
    this.#frames += 1;
    if (this.#frames > FRAMES_MAX || backlog > BACKLOG_MAX)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'too many frames that carry nothing');
  }
}
