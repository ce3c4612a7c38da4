import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * An apt of its own for another suite or architecture of Debian: it shares the machine's archive and keys, and neither
 * its sources, nor its package lists, nor its installed packages. Packages are downloaded, never installed.
 */
export class AptRoot {
  #ctx;
  #folder;
  #options;

  /**
   * @param {import('./context.mjs').Context} ctx
   * @param {{ suite: string, architecture: string }} of e.g. { suite: 'sid', architecture: 'arm64' }
   */
  static async open(ctx, { suite, architecture }) {
    const folder = await ctx.cache(`apt-${suite}-${architecture}`);
    for (const name of ['lists/partial', 'cache/archives/partial', 'etc/preferences.d'])
      await mkdir(join(folder, name), { recursive: true });
    const { uri, keyring, options } = await ctx.apt.archive();
    await writeFile(join(folder, 'etc', 'sources.list'), `deb [signed-by=${keyring}] ${uri} ${suite} main\n`);
    await writeFile(
      join(folder, 'apt.conf'),
      [
        ...options,
        `APT::Architecture "${architecture}"`,
        `APT::Architectures { "${architecture}"; }`,
        `Dir::Etc "${folder}/etc"`,
        `Dir::Etc::sourceparts "/dev/null"`,
        `Dir::State "${folder}"`,
        `Dir::State::status "/dev/null"`,
        `Dir::Cache "${folder}/cache"`,
        `Acquire::Languages "none"`,
        `APT::Sandbox::User "root"`,
      ]
        .map((line) => `${line};\n`)
        .join(''),
    );
    const root = new AptRoot(ctx, folder);
    await ctx.retry(`package lists of ${suite} (${architecture})`, () =>
      root.#apt('apt-get', ['-qq', 'update', '--error-on=any'], 180),
    );
    return root;
  }

  constructor(ctx, folder) {
    this.#ctx = ctx;
    this.#folder = folder;
    this.#options = { APT_CONFIG: join(folder, 'apt.conf') };
  }

  /** Names of the archive's packages that match a pattern. @param {RegExp} pattern @returns {Promise<string[]>} */
  async names(pattern) {
    const { stdout } = await this.#apt('apt-cache', ['pkgnames'], 60);
    return stdout.split('\n').filter((name) => pattern.test(name));
  }

  /** What the archive says of a package: "Depends", "Version", ... @returns {Promise<Record<string, string>>} */
  async fields(name) {
    const { stdout } = await this.#apt('apt-cache', ['show', '--no-all-versions', name], 60);
    return Object.fromEntries(
      [...stdout.matchAll(/^([A-Za-z0-9-]+): (.*)$/gm)].map(([, key, value]) => [key, value]),
    );
  }

  /** Downloads one package unless this version is here already. @returns {Promise<string>} path of the .deb */
  async download(name) {
    const { Version: version } = await this.fields(name);
    const folder = join(this.#folder, 'debs');
    await mkdir(folder, { recursive: true });
    const kept = join(folder, `${name}_${version.replaceAll(':', '%3a')}.deb`);
    if (existsSync(kept)) return kept;
    const partial = join(folder, `partial-${name}-${process.pid}`);
    await mkdir(partial, { recursive: true });
    try {
      await this.#ctx.retry(`download of ${name}`, () =>
        this.#apt('apt-get', ['-qq', 'download', `${name}=${version}`], 900, partial),
      );
      const [file] = await readdir(partial);
      await rename(join(partial, file), kept);
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
    return kept;
  }

  #apt(command, args, timeoutSeconds, cwd) {
    return this.#ctx.run(command, args, { env: this.#options, timeoutSeconds, cwd });
  }
}
