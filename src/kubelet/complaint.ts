/** Lets a fault be told once while it stays the same: what is tried again every few seconds would else fill the log. */
export class Complaint {
  #last: string | undefined;

  /** Is the reason another one than the last time? */
  isNew(reason: string): boolean {
    const differs = reason !== this.#last;
    this.#last = reason;
    return differs;
  }

  /** It is over; the same reason is news again. */
  settle(): void {
    this.#last = undefined;
  }
}
