import { type Command, InvalidArgumentError, Option } from 'commander';

import type { ControllerCommandOptions } from './commands/controller.js';
import type { ExplainVmiOptions } from './commands/explain.js';
import type { MapOptions } from './commands/map.js';
import type { NodesOptions } from './commands/nodes.js';
import type { StatusOptions } from './commands/status.js';
import { type Declare, hostOption, outputOption } from './declaration.js';

/** Commands about many hosts, and the picture of one. */
export const declareFleetCommands: Declare = (program, io, finish) => {
  declareMap(program, io, finish);
  declareExplain(program, io, finish);
  declareNodes(program, io, finish);
  declareStatus(program, io, finish);
  declareController(program, io, finish);
};

const declareMap: Declare = (program, io, finish) => {
  program
    .command('map')
    .description(
      "Draw a host's topology: SMMUs, root complexes, IOMMU groups, devices, and what each can do.",
    )
    .addOption(hostOption())
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'svg']).default('text'))
    .addHelpText('after', '\nExample:\n  vsmmu map --host ./node1 -o svg > node1.svg')
    .action(async (options: MapOptions) => {
      const { runMap } = await import('./commands/of-a-host.js');
      finish(await runMap(options, io));
    });
};

/** Where the fleet comes from: recordings and files, or else a cluster. */
export function fleetOptions(command: Command, without = 'the cluster'): Command {
  return command
    .addOption(hostOption().argParser(collect).default([], without))
    .addOption(
      new Option(
        '--objects <file>',
        'with --host: Policy, Baseline, Namespace, Node and claim objects, YAML or JSON',
      )
        .argParser(collect)
        .default([], 'none'),
    )
    .option('--kubeconfig <file>', 'instead of KUBECONFIG or ~/.kube/config')
    .option('--context <name>', 'of the kubeconfig, instead of its current one');
}

/** Which resources are vsmmu's. */
export const resourceOption = () =>
  new Option(
    '--resource <name...>',
    'resources that are served: a full name, or a domain with its "/"',
  ).default(['vsmmu.io/']);

export const vmiFileOption = () =>
  new Option(
    '-f, --file <file>',
    "a VirtualMachineInstance or VirtualMachine, YAML or JSON; '-' for standard input",
  );

const declareExplain: Declare = (program, io, finish) => {
  const explain = program.command('explain').description('Say what vsmmu would do, and why.');
  fleetOptions(explain.command('vmi'))
    .description(
      'Would this VMI be touched, by which policy, which nodes fit and why not the others, what each property becomes.',
    )
    .argument('[name]', 'a VMI of the cluster')
    .addOption(vmiFileOption())
    .option('-n, --namespace <name>', 'its namespace', 'default')
    .addOption(resourceOption())
    .addOption(outputOption('wide'))
    .addHelpText(
      'after',
      '\nExamples:\n  vsmmu explain vmi db-1 -n shop\n  vsmmu explain vmi -f vmi.yaml --host ./node1 --host ./node2 --objects policies.yaml',
    )
    .action(async (name: string | undefined, options: ExplainVmiOptions) => {
      const { runExplainVmi } = await import('./commands/explain.js');
      finish(await runExplainVmi(name, options, io));
    });
};

const declareNodes: Declare = (program, io, finish) => {
  fleetOptions(program.command('nodes'))
    .description('What each node can do.')
    .addOption(outputOption('wide'))
    .addHelpText('after', '\nExamples:\n  vsmmu nodes -o wide\n  vsmmu nodes --host ./node1 --host ./node2')
    .action(async (options: NodesOptions) => {
      const { runNodes } = await import('./commands/nodes.js');
      finish(await runNodes(options, io));
    });
};

const declareStatus: Declare = (program, io, finish) => {
  fleetOptions(program.command('status'))
    .description('The fleet on one screen: nodes, devices, baselines, and what wants a look.')
    .addOption(outputOption('wide'))
    .addHelpText('after', '\nExamples:\n  vsmmu status\n  vsmmu status --host ./node1 --host ./node2')
    .action(async (options: StatusOptions) => {
      const { runStatus } = await import('./commands/status.js');
      finish(await runStatus(options, io));
    });
};

const declareController: Declare = (program, io, finish) => {
  program
    .command('controller')
    .description('Keep node labels, baselines and profiles of a cluster; of several replicas one works.')
    .option('--namespace <name>', 'where the lease is', undefined)
    .option('--lease-name <name>', 'of the lease that elects the leader', 'vsmmu-controller')
    .option('--lease-seconds <n>', 'how long a silent leader stays one', leaseSeconds, 15)
    .option('--page-listen <addr:port>', 'serve the fleet page there; it has no login, so use the loopback')
    .option('--http <addr:port>', 'serve /metrics, /healthz, /readyz and /status')
    .option('--kubeconfig <file>', "instead of the pod's service account")
    .option('--context <name>', 'of the kubeconfig')
    .addOption(
      new Option('--log-level <level>', 'what is logged')
        .choices(['error', 'warn', 'info', 'debug'])
        .default('info'),
    )
    .addOption(new Option('--log-format <format>', 'of log lines').choices(['json', 'text']).default('json'))
    .addHelpText('after', '\nExample:\n  vsmmu controller --http :9681 --page-listen 127.0.0.1:8080')
    .action(async (options: ControllerCommandOptions) => {
      const { runController } = await import('./commands/controller.js');
      finish(await runController(options, io));
    });
};

function leaseSeconds(text: string): number {
  if (!/^[1-9]\d{0,2}$/.test(text)) throw new InvalidArgumentError('Write whole seconds, 1 to 999.');
  return Number(text);
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}
