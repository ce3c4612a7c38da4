import { gunzipSync } from 'node:zlib';
import { known, unknown, type Answer } from '../smmu/answer.js';
import type { HostSource, Read } from './host-source.js';
import { failed, succeeded } from './host-source.js';
import type { KernelOption, KernelOptions } from './report.js';

/** What decides whether a device can be asked and an accelerated vSMMU can run. */
export const KERNEL_OPTIONS = [
  'IOMMUFD',
  'VFIO',
  'VFIO_PCI',
  'VFIO_DEVICE_CDEV',
  'ARM_SMMU_V3',
  'ARM_SMMU_V3_IOMMUFD',
  'TEGRA241_CMDQV',
  'PCI_ATS',
  'PCI_PRI',
  'PCI_PASID',
] as const satisfies readonly KernelOption[];

/**
 * How a whole configuration begins (conf_write_heading(), scripts/kconfig/confdata.c). It does not name an option at
 * all whose dependencies are off; in a recording, which keeps some options, what is not named was not known.
 */
const WHOLE = /^# Automatically generated file; DO NOT EDIT\.$/m;

const CONFIG_LIMIT = 4 * 1024 * 1024;

/** The kernel's configuration, where the running system shows it: many distributions do, few containers. */
export function kernelOptions(source: HostSource, release: Answer<string>): KernelOptions {
  const config = readConfig(source, release);
  const option = (name: KernelOption): Answer<'y' | 'm' | 'n'> => {
    if (!config.ok)
      return unknown(
        config.because,
        'Let /boot into the container, or use a kernel with CONFIG_IKCONFIG_PROC.',
      );
    const { path, text } = config.value;
    const line = new RegExp(`^CONFIG_${name}=([ym])$`, 'm').exec(text);
    if (line?.[1] === 'y' || line?.[1] === 'm') return known(line[1], { reading: line[0], source: path });
    const unset = `CONFIG_${name} is not set`;
    return WHOLE.test(text) || new RegExp(`^# ${unset}$`, 'm').test(text)
      ? known('n', { reading: unset, source: path })
      : unknown(
          `${path} does not name CONFIG_${name}, and is not a whole configuration`,
          'Record the host again, or put the whole configuration of its kernel there.',
        );
  };
  return Object.fromEntries(KERNEL_OPTIONS.map((name) => [name, option(name)])) as Record<
    KernelOption,
    Answer<'y' | 'm' | 'n'>
  >;
}

function readConfig(
  source: HostSource,
  release: Answer<string>,
): Read<{ readonly path: string; readonly text: string }> {
  const places = release.known
    ? [`/boot/config-${release.value}`, `/lib/modules/${release.value}/config`]
    : [];
  for (const path of places) {
    const text = source.readText(path);
    if (text.ok && text.value.includes('CONFIG_')) return succeeded({ path, text: text.value });
  }
  const path = '/proc/config.gz';
  const packed = source.readBytes(path);
  if (!packed.ok)
    return failed(packed.errno, `the kernel's configuration is in none of ${[...places, path].join(', ')}`);
  try {
    return succeeded({
      path,
      text: gunzipSync(packed.value, { maxOutputLength: CONFIG_LIMIT }).toString('utf8'),
    });
  } catch {
    return failed('EINVAL', `${path} is no gzip file`);
  }
}
