import { type Declare, hostOption, outputOption } from './declaration.js';
import type { OutputFormat, TableFormat } from './output.js';

/** Commands about what a host can do. */
export const declareHostCommands: Declare = (program, io, finish) => {
  declareProbe(program, io, finish);
  declareRecord(program, io, finish);
  declareDoctor(program, io, finish);
  declareResolve(program, io, finish);
  declareBaseline(program, io, finish);
};

interface ProbeOptions {
  readonly host?: string;
  readonly all: boolean;
  readonly fresh: boolean;
  readonly watch: boolean;
  readonly output: OutputFormat;
}

const declareProbe: Declare = (program, io, finish) => {
  program
    .command('probe')
    .description("What a host's SMMUs and passthrough devices can do, each with its evidence.")
    .addOption(hostOption())
    .option('--all', 'also devices that no VFIO driver has, with the reason', false)
    .option('--watch', 'tell what changes, one line each, until interrupted', false)
    .option('--fresh', 'ask idle devices again although their answers since boot are kept', false)
    .addOption(outputOption())
    .addHelpText(
      'after',
      '\nIdle devices are bound to ask the kernel about them, which resets them; a device in use is never touched.\n\nExamples:\n  vsmmu probe\n  vsmmu probe --host ./node1 --all -o json',
    )
    .action(async (options: ProbeOptions) => {
      if (options.watch) {
        const { runProbeWatch } = await import('./commands/probe-watch.js');
        finish(await runProbeWatch(options, io));
      } else {
        const { runProbe } = await import('./commands/of-a-host.js');
        finish(await runProbe(options, io));
      }
    });
};

const declareRecord: Declare = (program, io, finish) => {
  program
    .command('record')
    .description('Record this host into a new folder that --host replays anywhere, without serial numbers.')
    .argument('<dir>', 'the folder to make')
    .addOption(hostOption())
    .option('--no-bind', 'ask no device: neither registers nor what the kernel says of ATS and PASID')
    .addHelpText('after', '\nExample:\n  vsmmu record ./node1 && vsmmu probe --host ./node1')
    .action(async (dir: string, options: { readonly host?: string; readonly bind: boolean }) => {
      const { runRecord } = await import('./commands/record.js');
      finish(await runRecord(dir, options, io));
    });
};

interface DoctorOptions {
  readonly host?: string;
  readonly bind: boolean;
  readonly launcherRoot?: string;
  readonly kubeletDir: string;
  readonly output: OutputFormat;
}

const declareDoctor: Declare = (program, io, finish) => {
  program
    .command('doctor')
    .description(
      'Is this host ready for VMs with an accelerated vSMMU? Each check with its evidence and remedy.',
    )
    .addOption(hostOption())
    .option('--no-bind', 'ask no device; what was answered since boot still counts')
    .option('--launcher-root <dir>', "an unpacked virt-launcher image: its QEMU and libvirt, not the host's")
    .option('--kubelet-dir <dir>', "the kubelet's folder", '/var/lib/kubelet')
    .addOption(outputOption())
    .addHelpText('after', '\nExamples:\n  vsmmu doctor\n  vsmmu doctor --host ./node1 -o json')
    .action(async (options: DoctorOptions) => {
      const { runDoctor } = await import('./commands/of-a-host.js');
      finish(await runDoctor(options, io));
    });
};

interface ResolveOptions {
  readonly batch: boolean;
  readonly host?: string;
  readonly node?: string;
  readonly output: OutputFormat | 'annotation';
}

const declareResolve: Declare = (program, io, finish) => {
  program
    .command('resolve')
    .description("Resolve what a vSMMU gets: from a host, or from JSON Lines (--batch, FILE or '-').")
    .argument('[file]', 'with --batch: the JSON Lines', '-')
    .option('--batch', 'read JSON Lines, write one JSON line each', false)
    .addOption(hostOption())
    .option('--node <name>', "with -o annotation: the node's name")
    .addOption(outputOption('annotation'))
    .addHelpText(
      'after',
      '\nExamples:\n  vsmmu resolve\n  vsmmu resolve --host ./node1 -o annotation\n  vsmmu resolve --batch requests.jsonl',
    )
    .action(async (file: string, options: ResolveOptions) => {
      if (options.batch) {
        const { runResolveBatch } = await import('./commands/resolve-batch.js');
        finish(await runResolveBatch(file, io));
      } else {
        const { runResolveHost } = await import('./commands/of-a-host.js');
        finish(await runResolveHost(options, io));
      }
    });
};

interface BaselineCommandOptions {
  readonly host: readonly string[];
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly output: TableFormat;
}

const declareBaseline: Declare = (program, io, finish) => {
  const collect = (value: string, previous: readonly string[]): readonly string[] => [...previous, value];
  program
    .command('baseline')
    .description('What every host of a set can honour, who limits it, and who cannot take part.')
    .addOption(hostOption().argParser(collect).default([], "the cluster's Baselines"))
    .option('--kubeconfig <file>', 'instead of KUBECONFIG or ~/.kube/config')
    .option('--context <name>', 'of the kubeconfig, instead of its current one')
    .addOption(outputOption('wide'))
    .addHelpText(
      'after',
      '\nExamples:\n  vsmmu baseline --host ./node1 --host ./node2 -o json\n  vsmmu baseline',
    )
    .action(async ({ host, ...options }: BaselineCommandOptions) => {
      const { runBaseline } = await import('./commands/baseline.js');
      finish(await runBaseline({ hosts: host, ...options }, io));
    });
};
