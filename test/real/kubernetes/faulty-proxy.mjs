import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Agent, createServer, request } from 'node:https';
import { Authority } from './certificates.mjs';

/**
 * Stands before the API server and does what networks, load balancers and overloaded servers do. Everything else goes
 * through untouched.
 */
export class FaultyProxy {
  url;
  /** PEM that its certificate is verified by. */
  ca;
  #server;
  #agent;
  #target;
  #watches = new Set();
  #refusals = [];
  #delay = 0;
  #rewrite = (line) => [line];
  #stalled = false;

  /** @param {import('./cluster.mjs').Cluster} cluster @param {string} folder for its certificate */
  static async start(ctx, cluster, folder) {
    const authority = await Authority.create(ctx, folder, 'proxy-ca');
    const files = { certificate: `${folder}/proxy.crt`, key: `${folder}/proxy.key` };
    await authority.issue(files);
    const proxy = new FaultyProxy();
    proxy.ca = await authority.bundle();
    proxy.#target = cluster.url;
    proxy.#agent = new Agent({ ca: cluster.ca, keepAlive: true });
    const [cert, key] = await Promise.all([readFile(files.certificate), readFile(files.key)]);
    proxy.#server = createServer({ cert, key }, (asked, answer) => proxy.#serve(asked, answer));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    proxy.url = `https://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** Watches that are open through it now. */
  get watches() {
    return this.#watches.size;
  }

  /** Ends every open watch as a broken connection does, in the middle of a line if need be. */
  cutWatches() {
    for (const answer of this.#watches) answer.destroy();
  }

  /** Open connections stay, and nothing comes through any more: a half-open connection. */
  stall(stalled) {
    this.#stalled = stalled;
  }

  /** Answers the next requests itself. @param {{ times: number, status: number, headers?: object, reason?: string, watches?: boolean }} refusal */
  refuse({ times, status, headers = {}, reason = 'ServiceUnavailable', watches }) {
    for (let i = 0; i < times; i++) this.#refusals.push({ status, headers, reason, watches });
  }

  /** Refusals that nobody has got yet. */
  get refusalsLeft() {
    return this.#refusals.length;
  }

  /** Holds every request back for so long. */
  slow(milliseconds) {
    this.#delay = milliseconds;
  }

  /** What becomes of each line of a watch. @param {(line: string) => string[]} rewrite */
  rewriteEvents(rewrite) {
    this.#rewrite = rewrite;
  }

  /** Back to an honest proxy. */
  heal() {
    this.#refusals = [];
    this.#delay = 0;
    this.#stalled = false;
    this.#rewrite = (line) => [line];
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
  }

  #serve(asked, answer) {
    answer.on('error', () => undefined);
    const isWatch = /[?&]watch=(true|1)/.test(asked.url);
    const refusal = this.#refusals.findIndex(({ watches }) => watches === undefined || watches === isWatch);
    if (refusal !== -1) return this.#answerRefusal(this.#refusals.splice(refusal, 1)[0], answer);
    setTimeout(() => this.#forward(asked, answer, isWatch), this.#delay);
  }

  #answerRefusal({ status, headers, reason }, answer) {
    const body = {
      kind: 'Status',
      apiVersion: 'v1',
      status: 'Failure',
      message: 'by the proxy',
      reason,
      code: status,
    };
    answer.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  }

  #forward(asked, answer, isWatch) {
    const { method, headers, url } = asked;
    const { host: _, ...others } = headers;
    const sent = request(
      new URL(url, this.#target),
      { method, headers: others, agent: this.#agent },
      (response) => {
        answer.writeHead(response.statusCode, response.headers);
        response.on('error', () => answer.destroy()).on('aborted', () => answer.destroy());
        if (isWatch) this.#pipeWatch(response, answer);
        else response.pipe(answer);
      },
    );
    sent.on('error', () => answer.destroy());
    answer.on('close', () => sent.destroy());
    asked.pipe(sent);
  }

  #pipeWatch(response, answer) {
    this.#watches.add(answer);
    answer.on('close', () => this.#watches.delete(answer));
    answer.flushHeaders();
    let rest = '';
    response.setEncoding('utf8').on('data', (text) => {
      if (this.#stalled) return;
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines.flatMap((one) => this.#rewrite(one))) answer.write(`${line}\n`);
    });
    response.on('end', () => answer.end());
  }
}
