import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseBdf, type Bdf } from '../src/bdf.js';
import { openLiveHost } from '../src/host/live-host.js';
import type { DeviceReport, HostReport } from '../src/host/report.js';
import { known, unknown } from '../src/smmu/answer.js';

export interface FunctionOfHost {
  readonly bdf: string;
  readonly group: number;
  readonly driver?: string;
  readonly numa?: number | null | 'silent';
  readonly smmu?: string;
  readonly ids?: readonly [number, number];
  readonly ats?: boolean | undefined;
  readonly cdev?: boolean;
  readonly notReady?: string;
}

/** Directory tree of a host, and the report that a probe of it would give: devices on VFIO drivers, real links, real nodes. */
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
    const { bdf, group, driver = 'vfio-pci' } = fn;
    const home = `/sys/devices/pci${bdf.slice(0, 7)}/${bdf}`;
    mkdirSync(join(this.root, home), { recursive: true });
    this.#link(`/sys/bus/pci/devices/${bdf}`, `../../../devices/pci${bdf.slice(0, 7)}/${bdf}`);
    this.#link(`${home}/driver`, `../../../bus/pci/drivers/${driver}`);
    this.#link(`${home}/iommu_group`, `../../../kernel/iommu_groups/${group}`);
    this.#file(`/dev/vfio/${group}`);
    if (fn.cdev === false) return;
    mkdirSync(join(this.root, home, 'vfio-dev', this.vfioName(bdf)), { recursive: true });
    this.#file(`/dev/vfio/devices/${this.vfioName(bdf)}`);
  }

  unplug(bdf: string): void {
    this.functions.delete(bdf);
    rmSync(join(this.root, `/sys/bus/pci/devices/${bdf}`), { force: true });
    rmSync(join(this.root, `/sys/devices/pci${bdf.slice(0, 7)}/${bdf}`), { recursive: true, force: true });
  }

  remove(path: string): void {
    rmSync(join(this.root, path));
  }

  vfioName(bdf: string): string {
    return `vfio${parseInt(bdf.replace(/[:.]/g, ''), 16) % 1000}`;
  }

  report(): HostReport {
    const all = [...this.functions.values()];
    return {
      origin: 'a tree of a test',
      kernel: {
        release: known('7.1.0'),
        commandLine: known(''),
        reportsAts: known(true),
      },
      smmus: [],
      devices: all.map((fn) => deviceReport(fn, all)),
      findings: [],
    };
  }

  #file(path: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), '');
  }

  #link(path: string, target: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    symlinkSync(target, join(this.root, path));
  }
}

function deviceReport(fn: FunctionOfHost, all: readonly FunctionOfHost[]): DeviceReport {
  const { driver = 'vfio-pci', ids = [0x10de, 0x2941], numa = 0, ats } = fn;
  const silence = { because: 'the test says nothing', remedy: 'None.' };
  const silent = <T>() => unknown<T>(silence.because, silence.remedy);
  return {
    bdf: bdfOf(fn.bdf),
    vendor: ids[0],
    device: ids[1],
    classCode: 0x030200,
    driver,
    passthrough:
      fn.notReady === undefined && driver.includes('vfio')
        ? { ready: true, driver }
        : { ready: false, reason: fn.notReady ?? `on driver ${driver}` },
    vfio: driver.includes('vfio'),
    smmuReport: fn.smmu,
    smmu: fn.smmu === undefined ? silent() : known(fn.smmu),
    iommuGroup: known(fn.group),
    groupMates: all
      .filter((mate) => mate.group === fn.group && mate.bdf !== fn.bdf)
      .map((mate) => bdfOf(mate.bdf)),
    numaNode: numa === 'silent' ? silent() : known(numa),
    cdev: silent(),
    atsCapability: silent(),
    priCapability: silent(),
    pasidCapability: silent(),
    kernelAts: silent(),
    maxPasidLog2: silent(),
    effectiveAts: ats === undefined ? silent() : known(ats),
    effectivePasidBits: silent(),
  };
}

export function bdfOf(text: string): Bdf {
  const bdf = parseBdf(text);
  if (bdf === undefined) throw new Error(`${text} is no BDF`);
  return bdf;
}
