import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** What a Service is to the webhook's pods: new connections go to the endpoints in turn, open ones stay where they are. */
export class Balancer {
  #server;
  #endpoints = [];
  #next = 0;
  #open = new Set();

  static async listen() {
    const balancer = new Balancer();
    balancer.#server.listen(0, '127.0.0.1');
    await once(balancer.#server, 'listening');
    return balancer;
  }

  constructor() {
    this.#server = createServer((client) => {
      if (this.#endpoints.length === 0) return client.on('error', () => {}).destroy();
      const port = this.#endpoints[this.#next++ % this.#endpoints.length];
      const endpoint = connect({ host: '127.0.0.1', port });
      for (const [from, to] of [
        [client, endpoint],
        [endpoint, client],
      ]) {
        this.#open.add(from);
        from.on('error', () => to.destroy()).on('close', () => this.#open.delete(from));
        from.pipe(to);
      }
    });
  }

  get port() {
    return this.#server.address().port;
  }

  /** @param {readonly number[]} ports */
  use(ports) {
    this.#endpoints = [...ports];
  }

  /** Ends the open connections too. */
  cut() {
    for (const socket of this.#open) socket.destroy();
  }

  close() {
    this.cut();
    this.#server.close();
  }
}
