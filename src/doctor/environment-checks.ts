import { qemuOfHelp } from '../domain/launcher.js';
import { NOT_RECORDED, remedyFor } from '../host/host-source.js';
import { notMade, ok, wrong, type CheckOutcome } from './check.js';
import { COMPATIBILITY, named } from './compatibility.js';
import type { Environment } from './environment.js';

/** Properties that QEMU 11.1's arm-smmuv3 has beside accel. */
const SMMU_PROPERTIES = ['accel', 'ats', 'ril', 'ssidsize', 'oas', 'cmdqv'] as const;
const DRIVER_ATTRIBUTES = ['pciBus', 'accel', 'cmdqv', 'ats', 'ril', 'ssidsize', 'oas'] as const;

const ON_THE_HOST = 'Run vsmmu doctor on the host itself.';

export function checkEnvironment(environment: Environment): CheckOutcome[] {
  return [
    checkIommuNode(environment),
    checkAccess(environment),
    checkMemlock(environment),
    checkQemuSmmu(environment),
    checkQemuVfio(environment),
    checkSchema(environment),
    checkKubelet(environment),
  ];
}

function checkIommuNode({ iommuNode }: Environment): CheckOutcome {
  if (!iommuNode.ok)
    return notMade(
      'NODE_IOMMU',
      iommuNode.because,
      remedyFor(iommuNode, 'Run as root, and let /dev into the container.'),
    );
  return iommuNode.value
    ? ok('NODE_IOMMU', '/dev/iommu')
    : wrong(
        'NODE_IOMMU',
        'error',
        '/dev/iommu does not exist',
        'Load iommufd (modprobe iommufd) or use a kernel with CONFIG_IOMMUFD; let the node into the container.',
      );
}

function checkAccess({ access }: Environment): CheckOutcome {
  if (access === undefined) return notMade('NODE_ACCESS', 'a recording does not tell', ON_THE_HOST);
  // Of a node that is not there NODE_IOMMU tells; no privilege would open it.
  const nodes = access.filter(({ refusal }) => refusal !== 'ENOENT');
  if (nodes.length === 0)
    return notMade('NODE_ACCESS', 'there is no device node to open', 'Do first what NODE_IOMMU says.');
  const refused = nodes.flatMap(({ path, refusal }) =>
    refusal === undefined ? [] : [`${path} (${refusal})`],
  );
  return refused.length === 0
    ? ok('NODE_ACCESS', nodes.map(({ path }) => path).join(', '))
    : wrong(
        'NODE_ACCESS',
        'error',
        `may not be opened for reading and writing: ${refused.join(', ')}`,
        'Run as root, and allow the nodes in the device cgroup of the container.',
      );
}

/** iommufd counts a VM's pinned memory against RLIMIT_MEMLOCK unless the process has CAP_IPC_LOCK. */
function checkMemlock({ memlock }: Environment): CheckOutcome {
  if (!memlock.ok)
    return notMade(
      'LIMIT_MEMLOCK',
      memlock.because,
      memlock.errno === NOT_RECORDED ? ON_THE_HOST : 'Mount /proc, and run vsmmu doctor again.',
    );
  return memlock.value === 'unlimited'
    ? ok('LIMIT_MEMLOCK', 'Max locked memory unlimited (/proc/self/limits)')
    : wrong(
        'LIMIT_MEMLOCK',
        'warning',
        `Max locked memory ${memlock.value} bytes (/proc/self/limits of this process)`,
        "Raise it for the process that runs QEMU to the VM's memory and more; libvirt and KubeVirt do so by themselves.",
      );
}

/** What would let the launcher be asked. */
function launcherRemedy({ launcherRoot, qemuSmmu }: Environment): string {
  if (launcherRoot !== undefined)
    return 'Let --launcher-root name the folder of an unpacked virt-launcher image, and run as root, for chroot.';
  return !qemuSmmu.ok && qemuSmmu.errno === NOT_RECORDED
    ? 'Name the launcher: --launcher-root DIR.'
    : 'Name the launcher: --launcher-root DIR; where VMs run without one, install QEMU for Arm and libvirt.';
}

function checkQemuSmmu(environment: Environment): CheckOutcome {
  const { qemuSmmu } = environment;
  if (!qemuSmmu.ok) return notMade('QEMU_SMMUV3', qemuSmmu.because, launcherRemedy(environment));
  const has = SMMU_PROPERTIES.filter((name) => new RegExp(`^\\s*${name}=`, 'm').test(qemuSmmu.value));
  const lacks = SMMU_PROPERTIES.filter((name) => !has.includes(name));
  if (lacks.includes('accel'))
    return wrong(
      'QEMU_SMMUV3',
      'error',
      '-device arm-smmuv3,help shows no accel',
      `Use ${named(COMPATIBILITY.qemuAccel)} or newer, or a build of a distribution that has it.`,
    );
  return lacks.length === 0
    ? ok('QEMU_SMMUV3', `-device arm-smmuv3,help shows ${has.join(', ')}`)
    : wrong(
        'QEMU_SMMUV3',
        'warning',
        `-device arm-smmuv3,help shows no ${lacks.join(', ')}`,
        `Use ${named(COMPATIBILITY.qemuCmdqvAndAts)} or newer; until then what it lacks is left out of domains.`,
      );
}

function checkQemuVfio(environment: Environment): CheckOutcome {
  const { qemuSmmu, qemuVfio } = environment;
  if (!qemuVfio.ok) return notMade('QEMU_VFIO_ATS', qemuVfio.because, launcherRemedy(environment));
  return qemuOfHelp(qemuSmmu.ok ? qemuSmmu.value : '', qemuVfio.value).vfioAts
    ? ok('QEMU_VFIO_ATS', '-device vfio-pci,help shows ats')
    : wrong(
        'QEMU_VFIO_ATS',
        'warning',
        '-device vfio-pci,help shows no ats',
        `Use ${named(COMPATIBILITY.qemuCmdqvAndAts)} or newer to hide ATS of devices that cannot use it; until then nothing is written for it.`,
      );
}

function checkSchema(environment: Environment): CheckOutcome {
  const { libvirtSchema } = environment;
  if (!libvirtSchema.ok) return notMade('LIBVIRT_SCHEMA', libvirtSchema.because, launcherRemedy(environment));
  // Other elements have an attribute "ats" too, such as the driver of a virtio device.
  const iommu = /<define name=["']iommu["']>.*?<\/define>/s.exec(libvirtSchema.value)?.[0] ?? '';
  const has = (name: string) => new RegExp(`<attribute name=["']${name}["']`).test(iommu);
  const lacks = DRIVER_ATTRIBUTES.filter((name) => !has(name));
  if (lacks.length === 0) return ok('LIBVIRT_SCHEMA', `domaincommon.rng has ${DRIVER_ATTRIBUTES.join(', ')}`);
  const camelCase = has('ssidSize')
    ? '; it spells ssidSize, as builds from before the attribute was agreed do'
    : '';
  return wrong(
    'LIBVIRT_SCHEMA',
    'warning',
    `domaincommon.rng has no ${lacks.join(', ')}${camelCase}`,
    `Use ${named(COMPATIBILITY.libvirtAttributes)} or newer, or let domains be written by override (vsmmu rewrite --target override).`,
  );
}

function checkKubelet({ kubelet }: Environment): CheckOutcome {
  if (kubelet.ok) return ok('KUBELET_SOCKET', `${kubelet.value} answers`);
  if (kubelet.errno === NOT_RECORDED || kubelet.errno === 'ENOENT')
    return notMade('KUBELET_SOCKET', kubelet.because, 'On a Kubernetes node: --kubelet-dir DIR.');
  return wrong(
    'KUBELET_SOCKET',
    'error',
    kubelet.because,
    'See whether the kubelet runs, and mount its folder.',
  );
}
