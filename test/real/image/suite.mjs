import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { NotRun } from '../lib/outcome.mjs';

const NODE = '24.21.0';
const layOut = `the root file system is laid out with Node ${NODE}`;
const version = 'vsmmu version runs in it, as nobody, without capabilities, with a read-only root';
const native = 'koffi’s native part loads in it';
const hook = 'the hook serves in it as KubeVirt runs it: user 107, no capability, read-only root';
const agent = 'the agent serves in it as the chart runs it: root without capabilities, read-only root';
const webhook = 'the webhook serves in it as the chart runs it';

export const suite = {
  name: 'image',
  needs: `root, util-linux, and Node ${NODE} from npm: no container engine`,
  timeoutMinutes: 6,
  checks: [layOut, version, native, hook, agent, webhook],
  async run(ctx) {
    if (process.getuid() !== 0) throw new NotRun('chroot(2) needs root');
    const node = await node24(ctx);
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-image-'));
    try {
      const image = new Image(ctx, join(folder, 'root'));
      await ctx.check(layOut, async () => {
        const script = join(ctx.root, 'scripts', 'image', 'rootfs.mjs');
        const { stdout } = await ctx.run(process.execPath, [script, image.root, '--node', node]);
        for (const line of stdout.trim().split('\n')) ctx.log(line);
      });
      await runParts(ctx, image);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function runParts(ctx, image) {
  await ctx.check(version, async () => {
    const { stdout } = await image.run(65532, ['version', '-o', 'json']);
    const { version, node } = JSON.parse(stdout);
    assert.equal(node, `v${NODE}`);
    assert.match(version, /^\d+\.\d+\.\d+$/);
  });
  await ctx.check(native, async () => {
    // The lock of the probe is taken with flock(2), through koffi; there are no devices to ask.
    const { stdout } = await image.run(0, ['reader', '--once'], {
      node: ['--input-type=module', '-e', LOCK],
    });
    assert.equal(stdout, 'locked\n');
  });
  await ctx.check(hook, async () => {
    const child = image.start(107, ['hook'], {
      prepare: 'mkdir -p var/run/kubevirt-hooks; chmod 777 var/run/kubevirt-hooks',
    });
    const { socket } = await logged(child, 'serving');
    assert.match(socket, /^\/var\/run\/kubevirt-hooks\//);
    await stops(child);
  });
  await ctx.check(agent, async () => {
    const args = ['agent', '--no-bind', '--kubelet-dir=/tmp/kubelet', '--http=127.0.0.1:0'];
    const child = image.start(0, args, {
      prepare: 'mkdir -p tmp/kubelet/device-plugins tmp/kubelet/plugins',
    });
    // No kubelet and no device is here: it must wait for both, not end.
    const { port } = await logged(child, 'Serving HTTP.');
    const response = await fetch(`http://127.0.0.1:${port}/metrics`);
    assert.equal(response.status, 200);
    await stops(child);
  });
  await ctx.check(webhook, async () => {
    const child = image.start(
      65532,
      [
        'webhook',
        '--listen=127.0.0.1:0',
        '--tls-cert=/tmp/tls.crt',
        '--tls-key=/tmp/tls.key',
        '--shutdown-delay=0',
      ],
      {
        prepare:
          'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -days 1 -keyout tmp/tls.key -out tmp/tls.crt 2>/dev/null; chmod 644 tmp/tls.key',
      },
    );
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    assert.match(line, /^https:\/\/127\.0\.0\.1:\d+$/);
    await stops(child);
  });
}

const LOCK = `
  const { default: koffi } = await import('/app/node_modules/koffi/index.js');
  const { openSync } = await import('node:fs');
  const flock = koffi.load(null).func('flock', 'int', ['int', 'int']);
  console.log(flock(openSync('/tmp/lock', 'w'), 6) === 0 ? 'locked' : 'not locked');
`;

/** A laid-out root file system, and programs in it with what a container runtime would give them. */
class Image {
  constructor(ctx, root) {
    this.ctx = ctx;
    this.root = root;
  }

  run(user, args, options = {}) {
    return this.ctx.run('unshare', this.#words(user, args, options), { timeoutSeconds: 60 });
  }

  start(user, args, options = {}) {
    return this.ctx.start('unshare', this.#words(user, args, options));
  }

  /**
   * A mount namespace of its own: the root read-only, /tmp and /var/run writable, /proc and /dev/null there. What
   * chroot(1) needs to become the user is all that is left of root's capabilities.
   */
  #words(user, args, { prepare = ':', node = ['/app/vsmmu.js', ...args] }) {
    const script = `set -e; cd "$1"; shift
      mount --bind . .; cd "$PWD"
      mount -t tmpfs none tmp; mount -t tmpfs none var/run; mount -t tmpfs none dev; mount -t proc none proc; mount --rbind /sys sys
      chmod 1777 tmp; for n in null zero urandom; do touch dev/$n; mount --bind /dev/$n dev/$n; done
      ${prepare}
      mount -o remount,bind,ro .
      exec env -i PATH="$PATH" setpriv --bounding-set=-all,+sys_chroot,+setuid,+setgid --inh-caps=-all --no-new-privs -- \\
        chroot --userspec=${user}:${user} --groups= . /usr/bin/node "$@"`;
    return ['--mount', '--propagation=private', 'sh', '-c', script, 'sh', this.root, ...node];
  }
}

async function logged(child, message) {
  for await (const line of createInterface({ input: child.stderr })) {
    const entry = JSON.parse(line);
    if (entry.message === message) return entry;
  }
  throw new Error(`it ended without saying "${message}"`);
}

async function stops(child) {
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const [status, signal] = await exited;
  assert.equal(status, 0, `ended with ${status ?? signal}`);
}

/** Node as npm ships it, the version that CI tests with. */
async function node24(ctx) {
  let path;
  await ctx.retry(`Node ${NODE}`, async () => {
    const { stdout } = await ctx.run(
      'npm',
      ['exec', '--yes', `--package=node@${NODE}`, '--', 'node', '-p', 'process.execPath'],
      {
        cwd: tmpdir(),
        timeoutSeconds: 300,
      },
    );
    path = stdout.trim().split('\n').at(-1);
  });
  if (!existsSync(path)) throw new NotRun(`npm gave no Node ${NODE}`);
  return path;
}
