import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Agent, createServer, request } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';

/** Stands between the API server and the webhook, with the webhook's certificate, and spoils its answers. */
export class Interposer {
  #server;
  #agent;
  #target;
  #spoil = (text) => text;
  #send = whole;

  /** @param {{ certificate: string, key: string }} files @param {number} target the webhook's port */
  static async start({ certificate, key }, target) {
    const interposer = new Interposer();
    const [cert, keyText] = await Promise.all([readFile(certificate), readFile(key)]);
    interposer.#target = target;
    interposer.#agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
    interposer.#server = createServer({ cert, key: keyText }, (asked, answer) => {
      interposer.#forward(asked, answer).catch(() => answer.destroy());
    });
    interposer.#server.listen(0, '127.0.0.1');
    await once(interposer.#server, 'listening');
    return interposer;
  }

  get port() {
    return this.#server.address().port;
  }

  /**
   * What becomes of each answer's body, and how it goes on its way.
   * @param {(text: string) => string} spoil @param {(answer: import('node:http').ServerResponse, text: string) => unknown} send
   */
  spoil(spoil, send = whole) {
    this.#spoil = spoil;
    this.#send = send;
  }

  close() {
    this.#agent.destroy();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #forward(asked, answer) {
    answer.on('error', () => undefined);
    const body = await buffer(asked);
    const sent = request({
      host: '127.0.0.1',
      port: this.#target,
      path: asked.url,
      method: asked.method,
      headers: { 'content-type': 'application/json', 'content-length': body.length },
      agent: this.#agent,
    });
    sent.end(body);
    const [response] = await once(sent, 'response');
    const text = this.#spoil((await buffer(response)).toString());
    answer.writeHead(response.statusCode, { 'content-type': 'application/json' });
    await this.#send(answer, text);
  }
}

export function whole(answer, text) {
  answer.end(text);
}

export async function late(answer, text) {
  await pause(4000);
  answer.end(text);
}

/** A byte a second: it would take minutes. */
export async function dripping(answer, text) {
  for (const byte of text) {
    if (answer.destroyed) return;
    answer.write(byte);
    await pause(1000);
  }
}

export async function reset(answer, text) {
  await new Promise((resolve) => answer.write(text.slice(0, text.length / 2), resolve));
  answer.destroy();
}
