/** How many device streams the kubelet holds open on one server. */
export class StreamCount {
  readonly #onLastEnded: () => void;
  #open = 0;
  #everOpened = false;

  constructor(onLastEnded: () => void) {
    this.#onLastEnded = onLastEnded;
  }

  get open(): number {
    return this.#open;
  }

  get everOpened(): boolean {
    return this.#everOpened;
  }

  opened(): void {
    this.#open++;
    this.#everOpened = true;
  }

  ended(): void {
    this.#open--;
    if (this.#open === 0) this.#onLastEnded();
  }
}
