// A folder in which the documents' commands run as they stand: with the files that they name, and the built program.
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const DEMO = 'src/cli/demo';

/** What the documents call their files. */
const COPIES = {
  node1: `${DEMO}/two-gpu-host`,
  'recording-of-node1': `${DEMO}/two-gpu-host`,
  node2: 'test/fixtures/hosts/grace-2gpu',
  'recording-of-node2': 'test/fixtures/hosts/grace-2gpu',
  'vm.xml': `${DEMO}/two-gpu.domain.xml`,
  'vmi.yaml': `${DEMO}/two-gpu.vmi.json`,
};
const LINKS = ['charts', 'docs', 'manifests', 'src', 'test', 'Dockerfile'];

const FILES = {
  'policies.yaml': `apiVersion: vsmmu.io/v1alpha1
kind: Policy
metadata: { name: training }
spec: { properties: { ssidsize: 16 } }
`,
  'requests.jsonl':
    '{"vsmmu":{"accel":true,"ats":"auto","ril":"auto","ssidsize":"auto","oas":"auto","cmdqv":"off"},"devices":[{"bdf":"0009:01:00.0","smmu":"smmu3.0x1","idr":[223090331,41092368,0,5124,0,117],"dataType":2,"capabilities":"0x1","kernelReportsAts":true,"atsCapability":true,"ats":"auto","coldPlugged":true}]}\n',
  'start-vm.sh': `qemu-system-aarch64 -machine virt,iommu=none \\
  -device pxb-pcie,id=pcie.1,bus_nr=8 \\
  -device arm-smmuv3,primary-bus=pcie.1,id=smmu1,accel=on,ats=auto \\
  -device pcie-root-port,id=rp1,bus=pcie.1 \\
  -device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0
`,
};

/** Programs beside the shell's own. virsh keeps one definition in a file, as test/libvirt-scripts.test.ts has it. */
const PROGRAMS = {
  vsmmu: 'exec "$NODE" "$ROOT/dist/vsmmu.js" "$@"',
  npx: 'exec "$@"',
  'vsmmu-define': 'exec sh "$ROOT/docs/libvirt/vsmmu-define" "$@" --host "$ROOT/src/cli/demo/two-gpu-host"',
  virsh: `case $1 in
  dumpxml) cat vm1.xml ;;
  define) cat "$2" >defined.xml; echo "Domain defined" ;;
  *) echo "virsh $1 is not here" >&2; exit 1 ;;
esac`,
};

export class Sandbox {
  #root;
  folder;
  #env;

  static async make(root, env = {}) {
    const sandbox = new Sandbox(root, await mkdtemp(join(tmpdir(), 'vsmmu-docs-')), env);
    await sandbox.#fill();
    return sandbox;
  }

  constructor(root, folder, env) {
    this.#root = root;
    this.folder = folder;
    this.#env = env;
  }

  async #fill() {
    const inside = (name) => join(this.folder, name);
    for (const [name, from] of Object.entries(COPIES))
      await cp(join(this.#root, from), inside(name), { recursive: true });
    for (const name of LINKS) await symlink(join(this.#root, name), inside(name));
    for (const [name, text] of Object.entries(FILES)) await writeFile(inside(name), text);
    await mkdir(inside('bin'));
    for (const [name, script] of Object.entries(PROGRAMS)) {
      await writeFile(inside(`bin/${name}`), `#!/bin/sh\n${script}\n`);
      await chmod(inside(`bin/${name}`), 0o755);
    }
    // vm.xml is as KubeVirt writes it, vm1.xml as it should be on node1.
    await this.run('vsmmu rewrite --host node1 vm.xml > vm1.xml');
  }

  /** Runs a script; a failure anywhere in it is its status. @returns {Promise<{ status: number, stdout: string, stderr: string }>} */
  async run(script) {
    const child = spawn('bash', ['--norc', '-euo', 'pipefail', '-c', script], {
      cwd: this.folder,
      env: {
        PATH: `${join(this.folder, 'bin')}:${process.env.PATH}`,
        HOME: this.folder,
        ROOT: this.#root,
        NODE: process.execPath,
        VSMMU: 'vsmmu',
        ...this.#env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => (stdout += chunk));
    child.stderr.on('data', (chunk) => (stderr += chunk));
    const [status] = await once(child, 'close');
    return { status, stdout, stderr };
  }

  async remove() {
    await rm(this.folder, { recursive: true, force: true });
  }
}
