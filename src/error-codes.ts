/**
 * Every code that vsmmu prints, with its meaning. Codes are stable: a code is retired, never reused.
 * docs/errors.md is generated from this table.
 */
export const ERROR_CODES = {
  // Resolution: what an arm-smmuv3 or a vfio-pci device asks and this host can't give (src/smmu).
  MIXED_SMMUS: 'Devices of different host SMMUs stand behind one vSMMU.',
  AUTO_NEEDS_COLD_PLUG: 'A property is "auto" and no cold-plugged VFIO device is there to resolve it.',
  ACCEL_REQUIRED: 'A property is set that QEMU allows only with accel=on.',
  VALUE_NOT_IMPLEMENTED: 'A property has a value that no vSMMU implements.',
  HW_INFO_TYPE: 'IOMMU_GET_HW_INFO did not describe an SMMUv3.',
  HW_INFO_UNKNOWN: 'What the host SMMU can do is not known.',
  HOST_STLEVEL: "The host SMMU's stream table is not 2-level.",
  HOST_TTENDIAN: 'The host SMMU walks big-endian tables only.',
  HOST_TTF: 'The host SMMU has no AArch64 table format.',
  HOST_SIDSIZE: 'The host SMMU has fewer than 16 StreamID bits.',
  HOST_SSIDSIZE: 'More substream id bits are asked for than the host SMMU has.',
  HOST_RIL: 'Range invalidation is asked for and the host SMMU has none.',
  HOST_OAS: 'A wider output address is asked for than the host SMMU has.',
  HOST_ATS: 'ATS is asked for and the host SMMU has none.',
  HOST_CMDQV: 'CMDQV is asked for and the host SMMU has none.',
  HOST_GRANULE: 'The host SMMU lacks a translation granule that QEMU requires.',
  NESTING_REFUSED: 'The kernel refused to nest on the host SMMU, so that no accelerated vSMMU can use it.',
  DEVICE_ATS: 'ATS is asked for on a device and the kernel says it is not supported.',
  MALFORMED_REQUEST: 'A resolve request is not what docs/resolve.md describes.',

  // The host: live or recorded (src/host).
  RECORDING_UNREADABLE:
    'A folder given as a recording cannot be read, or holds none of the files of a recording.',
  RECORDING_MALFORMED: 'A file of a recording is not what docs/recording-format.md describes.',
  RECORDING_DAMAGED: 'A part of a recording is damaged or cut short; that part was left out.',
  PROBE_HW_INFO_NONE: 'IOMMU_GET_HW_INFO succeeded with data type 0: the driver tells nothing of its SMMU.',
  PROBE_HW_INFO_SHORT: 'IOMMU_GET_HW_INFO gave fewer bytes than struct iommu_hw_info_arm_smmuv3 has.',
  PROBE_BUSY: 'The device is open by somebody through its cdev, so it was not asked (EINVAL).',
  PROBE_GROUP_NOT_VIABLE:
    'The IOMMU group has another owner, such as a host driver or a VM, so the device cannot be bound (EPERM).',
  PROBE_GROUP_OPEN: "The device's legacy group is open, so it cannot be bound (EBUSY).",
  PROBE_NO_NODE: 'A device node is missing, or the device went away (ENOENT, ENODEV).',
  PROBE_NOT_PERMITTED: 'A device node may not be opened (EACCES, EPERM).',
  PROBE_NO_NESTING: 'The kernel allocates no nesting parent or no vIOMMU for the device (EOPNOTSUPP).',
  PROBE_NOT_SUPPORTED: 'The kernel does not know what was asked (EOPNOTSUPP, ENOTTY).',
  PROBE_FAILED: 'An ioctl failed with an errno that has no meaning of its own here.',
  PROBE_TIMEOUT: 'A step of the probe took longer than its time limit.',
  PROBE_IN_USE: 'The device is in use; binding would reset it, so it was not asked.',
  PROBE_LOCKED: 'Another probe holds the lock, or it cannot be taken.',
  REGISTERS_DISAGREE: 'Two devices of one SMMU were told different registers.',
  CONFIG_SPACE_SHORT: 'Config space was readable only as far as an unprivileged reader gets: 64 bytes.',
  PROBE_PENDING: 'A device had not answered yet when the probe had waited long enough.',
  CONFIG_SPACE_DAMAGED:
    'The capability list in config space loops, points outside, or the device does not answer.',
  SYSFS_DAMAGED: 'A file of sysfs does not hold what the kernel writes there.',

  // Domain XML (src/domain).
  XML_MALFORMED: 'The text is not well-formed XML.',
  XML_DOCTYPE: 'The XML has a DOCTYPE, which no libvirt domain needs.',
  XML_LIMIT: 'The XML is larger or deeper than libvirt would take.',
  NOT_A_DOMAIN: 'The XML is well-formed but no libvirt domain.',
  DOMAIN_VALUE: 'A value in the domain is none that libvirt or QEMU would take.',
  PCI_CIRCLE: 'PCI controllers of the domain stand behind each other.',
  IOMMU_BUS: 'An accelerated vSMMU stands on no bus, on a wrong one, or on one with another vSMMU.',
  IOMMU_MIX: 'Several iommus of a domain are not all vSMMUs with a bus of their own.',
  EMULATED_DEVICE: 'An emulated device stands behind an accelerated vSMMU.',
  IOMMUFD_REQUIRED: 'A device behind an accelerated vSMMU does not use iommufd.',
  NODESET: 'A Generic Initiator names a guest NUMA cell that is not there.',
  HOSTDEV_UNKNOWN: 'A device of the domain is not one of the host.',
  HOSTDEV_UNPLACED: 'A passed-through device has no guest address, so its vSMMU is not known.',
  DEVICE_TWICE: 'Two devices of the domain have one alias, one host address or one guest address.',
  IGNORED: 'Something stands in the domain that libvirt ignores without a word.',
  KVM_REQUIRED: 'An accelerated vSMMU needs a domain of type kvm.',
  BUS_NUMBERS: 'The guest has no PCI bus number, index or slot left for what must be added.',
  TARGET_LACKS: 'What is asked for cannot be written for this libvirt and QEMU.',
  LAUNCHER_SILENT: 'libvirt or QEMU could not be asked what they know.',
  BASELINE_MALFORMED: 'A baseline is not what "vsmmu baseline -o json" prints.',
  MODEL_UNKNOWN: "A device's PCI ids are not known, so what a baseline says of such devices was left out.",
  WISH_MALFORMED: 'A value set by hand is none that vsmmu knows.',
  WISH_UNUSED: 'A value was set by hand for a device that the domain does not have.',
  COMMAND_MALFORMED: 'A QEMU command line or its JSON cannot be read.',
  PLAN_UNSETTLED: 'A rewritten domain would be changed again by a second rewrite.',

  // Command line (src/cli).
  USAGE: 'The command line is not understood.',
  UNREADABLE_FILE: 'A file named on the command line cannot be read.',
  UNWRITABLE_FILE: 'A file cannot be written; the old one is untouched.',

  // KubeVirt: annotations, the VMI, the hook sidecar (src/kubevirt).
  ANNOTATION_MISSING: 'The VMI has no annotation vsmmu.io/resolved, so the values of its node are not known.',
  ANNOTATION_MALFORMED: 'The annotation vsmmu.io/resolved is not what docs/annotation.md describes.',
  ANNOTATION_VERSION: 'The annotation vsmmu.io/resolved has a version that this program does not read.',
  ANNOTATION_NODE: 'The annotation vsmmu.io/resolved speaks of another node than the one the VMI is on.',
  VMI_MALFORMED: 'What came as a VirtualMachineInstance is none.',
  HOOK_SIDECARS_MALFORMED: 'The annotation hooks.kubevirt.io/hookSidecars is not a JSON array.',

  // Admission webhook (src/admission).
  TLS_FILES: 'The serving certificate and its key cannot be used.',
  LISTEN_FAILED: 'The webhook cannot listen on its address.',
  REQUIRE_MALFORMED: 'The annotation vsmmu.io/require is not what docs/webhook.md describes.',

  // gRPC over unix sockets (src/grpc).
  SOCKET_PATH_TOO_LONG: 'The path of a unix socket is longer than Linux takes.',
  SOCKET_PATH_TAKEN: 'The path of a unix socket is taken by something that is no socket.',
  SOCKET_UNUSABLE: 'A unix socket cannot be made.',

  // Kubelet: device plugin and DRA driver (src/kubelet).
  RESOURCE_NAME_INVALID: 'The kubelet takes no extended resource of this name.',
  RESOURCE_NAMES_COLLIDE: 'Two resources would be handed to virt-launcher in one environment variable.',
  SCAN_SHORTAGE:
    'The host could not be read for want of open files or memory; what was known stays in force.',
  DEVICE_NOT_ADVERTISED: 'The kubelet asked for a device that this resource does not have.',
  DEVICE_CHANGED: 'A device is no longer what was advertised: its driver, IOMMU group or nodes changed.',
  DEVICE_BUSY: 'A process outside of what the kubelet knows uses a device.',
  GROUP_TAKEN: 'Another container holds a device of the same IOMMU group.',
  CONFIG_UNREADABLE: "The agent's configuration cannot be read.",
  CONFIG_MALFORMED: "The agent's configuration is not what docs/device-plugin.md describes.",
  STATE_UNWRITABLE: "The agent's state cannot be kept.",
  CLAIM_CHANGED: 'A ResourceClaim of this name is another one by now.',
  CLAIM_NOT_ALLOCATED: 'A ResourceClaim has no allocation to prepare.',
  CLAIM_MALFORMED: 'A ResourceClaim has names that no API server lets through.',
  CDI_UNWRITABLE: 'A CDI specification cannot be written.',

  // The Kubernetes API server (src/cluster).
  KUBE_CONFIG: 'How to reach the API server is not known.',
  KUBE_UNREACHABLE: 'The API server did not answer, or the connection broke.',
  KUBE_ANSWER_MALFORMED: 'The answer is none that a Kubernetes API server gives.',
  KUBE_UNAUTHORIZED: 'The API server does not know who we are (401).',
  KUBE_FORBIDDEN: 'The API server knows who we are and refuses it (403).',
  KUBE_NOT_FOUND: 'The API server has no such object or resource (404).',
  KUBE_CONFLICT: 'The object was changed by somebody else in between (409).',
  KUBE_ALREADY_EXISTS: 'An object of this name is there already (409).',
  KUBE_GONE: 'The resource version is older than the API server remembers (410).',
  KUBE_THROTTLED: 'The API server asks us to slow down (429).',
  KUBE_UNAVAILABLE: 'The API server failed, or is not ready (5xx).',
  KUBE_REFUSED: 'The API server refused the request as wrong (400, 422, ...).',

  // Objects in the cluster (src/cluster).
  PROFILE_MALFORMED: 'A NodeProfile is not what its schema describes.',

  // The fleet: policies, baselines, the controller (src/fleet).
  POLICY_MALFORMED: 'A Policy is not what docs/policies.md describes.',
  BASELINE_OBJECT_MALFORMED: 'A Baseline object is not what docs/fleet.md describes.',
  VMI_UNPLACEABLE: 'No node could start the VMI as it is.',
  VMI_DEVICE_DOUBLED: 'A VMI asks for one resource among its GPUs and among its host devices.',
  POLICY_UNRESOLVED: 'A policy asks for the values of a Baseline that has none.',
  PAGE_ASSETS: 'The files of the fleet page are not beside the program.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;
