import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { HwInfoReply } from '../src/host/hw-info.js';
import { openLiveHost } from '../src/host/live-host.js';
import { probeHost } from '../src/host/probe.js';
import type { DeviceReport, HostReport } from '../src/host/report.js';
import { known } from '../src/smmu/answer.js';

export interface FunctionOfHost {
  readonly bdf: string;
  readonly group: number;
  readonly driver?: string;
  /** null: -1 in sysfs; 'silent': no such file. */
  readonly numa?: number | null | 'silent';
  readonly smmu?: string;
  readonly ids?: readonly [number, number];
  /** false: vfio-dev without its node, as on Debian's 6.12. */
  readonly cdev?: boolean;
  /** What the probe would have learnt from the SMMU, which no test has. */
  readonly ats?: boolean;
  readonly pasidBits?: number;
}

const NOT_ASKED: Exclude<HwInfoReply, { kind: 'answer' }> = {
  kind: 'not-asked',
  because: 'a test has no SMMU',
  remedy: 'None.',
  source: 'the test',
  code: undefined,
};

/** A host's /sys and /dev as a directory tree, read by the real probe; only the SMMU's own answers are given. */
export class HostTree {
  readonly root: string;
  readonly functions = new Map<string, FunctionOfHost>();

  constructor(root: string, functions: readonly FunctionOfHost[]) {
    this.root = root;
    this.#file('/dev/vfio/vfio');
    this.#file('/dev/iommu');
    for (const fn of functions) this.plug(fn);
  }

  get source() {
    return openLiveHost({ root: this.root });
  }

  plug(fn: FunctionOfHost): void {
    this.unplug(fn.bdf);
    this.functions.set(fn.bdf, fn);
    const { bdf, group, driver = 'vfio-pci', numa = 0, smmu = 'smmu3.0x1', ids = [0x10de, 0x2941] } = fn;
    const home = this.#home(bdf);
    this.#link(`/sys/bus/pci/devices/${bdf}`, `../../..${home.slice('/sys'.length)}`);
    this.#file(`${home}/vendor`, `0x${ids[0].toString(16)}`);
    this.#file(`${home}/device`, `0x${ids[1].toString(16)}`);
    this.#file(`${home}/class`, '0x030200');
    if (numa !== 'silent') this.#file(`${home}/numa_node`, String(numa ?? -1));
    this.#link(`${home}/driver`, `../../../bus/pci/drivers/${driver}`);
    this.#link(`${home}/iommu_group`, `../../../kernel/iommu_groups/${group}`);
    this.#link(`${home}/iommu`, `../../virtual/iommu/${smmu}`);
    this.#link(`/sys/kernel/iommu_groups/${group}/devices/${bdf}`, `../../../..${home.slice('/sys'.length)}`);
    if (!driver.includes('vfio')) return;
    this.#file(`/dev/vfio/${group}`);
    const vfio = this.vfioName(bdf);
    mkdirSync(join(this.root, home, 'vfio-dev', vfio), { recursive: true });
    if (fn.cdev !== false) this.#file(`/dev/vfio/devices/${vfio}`);
  }

  unplug(bdf: string): void {
    const group = this.functions.get(bdf)?.group;
    this.functions.delete(bdf);
    this.remove(`/sys/bus/pci/devices/${bdf}`);
    this.remove(this.#home(bdf));
    if (group !== undefined) this.remove(`/sys/kernel/iommu_groups/${group}/devices/${bdf}`);
  }

  remove(path: string): void {
    rmSync(join(this.root, path), { recursive: true, force: true });
  }

  vfioName(bdf: string): string {
    return `vfio${parseInt(bdf.replace(/[:.]/g, ''), 16) % 1000}`;
  }

  async report(): Promise<HostReport> {
    const live = this.source;
    const report = await probeHost({
      origin: live.origin,
      findings: live.findings,
      readText: (path) => live.readText(path),
      readBytes: (path) => live.readBytes(path),
      readLink: (path) => live.readLink(path),
      list: (path) => live.list(path),
      exists: (path) => live.exists(path),
      pciConfig: (bdf) => live.pciConfig(bdf),
      devicesBeyondSysfs: () => [],
      hwInfo: () =>
        Promise.resolve({
          hwInfo: NOT_ASKED,
          cmdqv: NOT_ASKED,
          nesting: NOT_ASKED,
          evidence: [],
          findings: [],
        }),
      close: () => live.close(),
    });
    return { ...report, devices: report.devices.map((device) => this.#withAnswers(device)) };
  }

  #withAnswers(device: DeviceReport): DeviceReport {
    const { ats, pasidBits } = this.functions.get(device.bdf) ?? {};
    return {
      ...device,
      effectiveAts: ats === undefined ? device.effectiveAts : known(ats),
      effectivePasidBits: pasidBits === undefined ? device.effectivePasidBits : known(pasidBits),
    };
  }

  #home(bdf: string): string {
    return `/sys/devices/pci${bdf.split(':').slice(0, 2).join(':')}/${bdf}`;
  }

  #file(path: string, content = ''): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), content);
  }

  #link(path: string, target: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    symlinkSync(target, join(this.root, path));
  }
}
