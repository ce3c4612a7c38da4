import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NewerDebian } from '../lib/newer-debian.mjs';

/** libvirt's driver inside one process: no daemon, no KVM, its state and its cache of QEMU's abilities in one folder. */
const EMBEDDED = 'qemu:///embed?root=/var/lib/vsmmu-embed';
/** virsh opens its file again by name, which can't be done with the socket that Node hands over as standard input. */
const DOMAIN = '/tmp/domain.xml';
const SCHEMA = '/usr/share/libvirt/schemas/domain.rng';

/** Real libvirt and real QEMU of a newer Debian, asked about domains that can't be started here. */
export class Oracle {
  #ctx;
  #debian;

  /** @param {import('../lib/context.mjs').Context} ctx */
  static async open(ctx) {
    return new Oracle(ctx, await NewerDebian.open(ctx));
  }

  constructor(ctx, debian) {
    this.#ctx = ctx;
    this.#debian = debian;
  }

  /** The folder in which they are installed. */
  get root() {
    return this.#debian.root;
  }

  /** @returns {Promise<{ libvirt: string, qemu: string }>} e.g. { libvirt: '12.8.0', qemu: '11.1.3' } */
  async versions() {
    const { stdout } = await this.#virsh(['version']);
    return {
      libvirt: /Using library: libvirt (\S+)/.exec(stdout)[1],
      qemu: /hypervisor: QEMU (\S+)/.exec(stdout)[1],
    };
  }

  /** virsh domcapabilities for emulated aarch64. */
  async domcapabilities() {
    return (await this.#virsh(['domcapabilities', '--arch', 'aarch64', '--virttype', 'qemu'])).stdout;
  }

  /** @param {string} device "arm-smmuv3" @returns {Promise<string>} QEMU's "-device X,help" */
  async qemuHelp(device) {
    return (
      await this.#debian.run('qemu-system-aarch64', ['-machine', 'virt', '-device', `${device},help`], {
        timeoutSeconds: 60,
      })
    ).stdout;
  }

  /** The QEMU command line that libvirt makes of a domain, without the environment before it. @param {string} xml @returns {Promise<string[]>} */
  async argvOf(xml) {
    const { stdout } = await this.#virsh(['domxml-to-native', 'qemu-argv', DOMAIN], xml);
    const words = shellWords(stdout);
    return words.slice(words.findIndex((word) => !/^[A-Z_]+=/.test(word)));
  }

  /**
   * Starts QEMU with each vSMMU of a command line, on a machine that has just its bus. It can't come up without KVM;
   * which objection comes first tells whether the properties were understood.
   * @param {readonly string[]} argv @returns {Promise<[string, object][]>} what QEMU said of which device
   */
  async smmusTried(argv) {
    const smmus = devicesOf(argv).filter(({ driver }) => driver === 'arm-smmuv3');
    return Promise.all(
      smmus.map(async (smmu) => {
        const { stderr } = await this.#debian.run(
          'qemu-system-aarch64',
          [
            ...[
              '-machine',
              'virt,gic-version=3',
              '-cpu',
              'max',
              '-m',
              '256',
              '-nodefaults',
              '-display',
              'none',
              '-S',
            ],
            ...['-device', JSON.stringify({ driver: 'pxb-pcie', id: smmu['primary-bus'], bus_nr: 16 })],
            ...['-device', JSON.stringify(smmu)],
          ],
          { check: false, timeoutSeconds: 30 },
        );
        return [stderr, smmu];
      }),
    );
  }

  /** What libvirt makes of a domain by storing it: addresses assigned, unknown things dropped. @param {string} xml */
  async defined(xml) {
    const name = /<name>([^<]+)<\/name>/.exec(xml)[1];
    await this.#virsh(['define', DOMAIN], xml);
    try {
      return (await this.#virsh(['dumpxml', '--inactive', name])).stdout;
    } finally {
      await this.#virsh(['undefine', '--keep-nvram', name]);
    }
  }

  /**
   * A new folder with a `virsh` and a `qemu-system-aarch64` that run the chroot's, to be put into a PATH. They see its
   * subfolder `files` by the same name.
   */
  async programs() {
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-programs-'));
    const programs = { virsh: ['-c', EMBEDDED], 'qemu-system-aarch64': [] };
    const scratch = join(folder, 'files');
    await mkdir(scratch);
    for (const [name, first] of Object.entries(programs))
      await writeFile(join(folder, name), this.#debian.script(name, first, { scratch }), {
        mode: 0o755,
      });
    return folder;
  }

  /**
   * What jing finds wrong with documents by this libvirt's own schema. Java takes seconds to start, so all at once.
   * @param {Record<string, string>} documents by name @returns {Promise<Record<string, string[]>>} messages without line numbers
   */
  async validateRng(documents) {
    await this.#ctx.apt.install('jing');
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-rng-'));
    try {
      const names = Object.keys(documents);
      const files = names.map((_, index) => join(folder, `${index}.xml`));
      await Promise.all(names.map((name, index) => writeFile(files[index], documents[name])));
      const { stdout, stderr } = await this.#ctx.run('jing', [this.#debian.root + SCHEMA, ...files], {
        check: false,
        timeoutSeconds: 180,
      });
      const said = `${stdout}\n${stderr}`.split('\n');
      return Object.fromEntries(
        names.map((name, index) => [
          name,
          said
            .filter((line) => line.startsWith(`${files[index]}:`))
            .map((line) => line.slice(files[index].length).replace(/^:\d+:\d+: /, '')),
        ]),
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  #virsh(args, input = '') {
    const script = `cat > ${DOMAIN}; exec virsh -q -c '${EMBEDDED}' "$@"`;
    return this.#debian.run('sh', ['-c', script, 'sh', ...args], {
      input,
      timeoutSeconds: 60,
      label: `virsh ${args.join(' ')}`,
    });
  }
}

/** The `-device` options of a QEMU command line as objects, JSON or not. @param {readonly string[]} argv */
export function devicesOf(argv) {
  return argv.flatMap((word, index) => (argv[index - 1] === '-device' ? [parseDevice(word)] : []));
}

function parseDevice(option) {
  if (option.startsWith('{')) return JSON.parse(option);
  const [driver, ...properties] = option.split(',');
  return {
    driver,
    ...Object.fromEntries(properties.map((property) => property.split(/=(.*)/s).slice(0, 2))),
  };
}

/** Splits a line as libvirt quotes it: single quotes, and backslashes outside of them. */
function shellWords(line) {
  const words = [];
  for (const [token] of line.matchAll(/(?:'[^']*'|\\.|[^\s'\\])+/gs)) {
    words.push(token.replace(/'([^']*)'|\\(.)/gs, (_, quoted, escaped) => quoted ?? escaped));
  }
  return words;
}
