import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';

/** A certificate authority of openssl's, and leaves of it for 127.0.0.1: an oracle that is not the code under test. */
export class Authority {
  #ctx;
  #folder;
  #name;

  static async create(ctx, folder, name) {
    await ctx.apt.install('openssl');
    const authority = new Authority(ctx, folder, name);
    await authority.#openssl([
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`],
    ]);
    return authority;
  }

  constructor(ctx, folder, name) {
    this.#ctx = ctx;
    this.#folder = folder;
    this.#name = name;
  }

  /** PEM */
  bundle() {
    return readFile(join(this.#folder, `${this.#name}.crt`), 'utf8');
  }

  /**
   * Issues a leaf and puts it where a server reads it. Two files can't be replaced at once: the key comes first.
   * @param {{ certificate: string, key: string }} files
   */
  async issue({ certificate, key }) {
    await this.#openssl([
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'],
      ...[
        '-CA',
        `${this.#name}.crt`,
        '-CAkey',
        `${this.#name}.key`,
        '-keyout',
        'leaf.key',
        '-out',
        'leaf.crt',
      ],
      ...['-subj', '/CN=vsmmu-webhook', '-addext', 'subjectAltName=IP:127.0.0.1'],
      ...['-addext', 'basicConstraints=critical,CA:FALSE'],
    ]);
    await rename(join(this.#folder, 'leaf.key'), key);
    await rename(join(this.#folder, 'leaf.crt'), certificate);
  }

  #openssl(args) {
    return this.#ctx.run('openssl', args, { cwd: this.#folder });
  }
}
