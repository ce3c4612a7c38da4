import { NotRun } from './outcome.mjs';

/** Settings of the machine's own apt that another apt (a chroot's) needs to reach the same archive. */
const PASSED_ON =
  /^Acquire::(http|https|ftp|Check-Valid-Until|Check-Date|Retries|Max-FutureTime)\b[^ ]* "[^"]/;

/** The machine's package manager: installs with retries, and tells other apts where its archive is. */
export class Apt {
  #ctx;
  #updated = false;

  /** @param {{ run: Function, retry: Function, log: Function }} ctx */
  constructor(ctx) {
    this.#ctx = ctx;
  }

  /** apt-get update, once a suite. */
  async update() {
    if (this.#updated) return;
    await this.#ctx.retry('apt-get update', () =>
      this.#ctx.run('apt-get', ['-qq', 'update'], { timeoutSeconds: 180 }),
    );
    this.#updated = true;
  }

  /**
   * Installs what is missing of these packages. A package that can't be had makes the suite "not run".
   * @param {...string} packages
   */
  async install(...packages) {
    const { stdout } = await this.#ctx.run(
      'dpkg-query',
      ['-W', '-f', '${Package} ${db:Status-Status}\n', ...packages],
      { check: false },
    );
    const installed = new Set(
      stdout
        .split('\n')
        .filter((line) => line.endsWith(' installed'))
        .map((line) => line.split(' ')[0]),
    );
    const missing = packages.filter((name) => !installed.has(name));
    if (missing.length === 0) return;
    this.#requireRoot(`install ${missing.join(' ')}`);
    await this.update();
    this.#ctx.log(`installing ${missing.join(' ')}`);
    await this.#ctx.retry(`apt-get install ${missing.join(' ')}`, () =>
      this.#ctx.run(
        'apt-get',
        ['-qq', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', 'install', ...missing],
        {
          timeoutSeconds: 600,
          env: { DEBIAN_FRONTEND: 'noninteractive' },
        },
      ),
    );
  }

  /**
   * Where the machine's own apt gets Debian from.
   * @returns {Promise<{ uri: string, keyring: string, options: string[] }>} options: lines of apt configuration to pass on
   */
  async archive() {
    const format = '$(REPO_URI) $(ORIGIN) $(RELEASE) $(COMPONENT)';
    let targets = await this.#targets(format);
    if (targets.length === 0) {
      await this.update();
      targets = await this.#targets(format);
    }
    const debian = targets.find(
      ([, origin, release, component]) =>
        origin === 'Debian' && component === 'main' && !/[-/]/.test(release),
    );
    if (debian === undefined)
      throw new NotRun('the machine\'s apt knows no Debian archive ("apt-get indextargets" names none)');
    const { stdout } = await this.#ctx.run('apt-config', ['dump', 'Acquire']);
    const options = stdout
      .split('\n')
      .filter((line) => PASSED_ON.test(line))
      .map((line) => line.replace(/;$/, ''));
    return { uri: debian[0], keyring: '/usr/share/keyrings/debian-archive-keyring.gpg', options };
  }

  async #targets(format) {
    const { stdout } = await this.#ctx.run('apt-get', [
      'indextargets',
      '--format',
      format,
      'Created-By: Packages',
    ]);
    return stdout
      .trim()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(' '));
  }

  #requireRoot(purpose) {
    if (process.getuid() !== 0) throw new NotRun(`needs root to ${purpose}`);
  }
}
