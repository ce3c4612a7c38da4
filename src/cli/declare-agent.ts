import { InvalidArgumentError, Option } from 'commander';

import type { AgentCommandOptions } from './commands/agent.js';
import { hostOption, type Declare } from './declaration.js';

/** The node's part: device plugin and DRA driver. */
export const declareAgent: Declare = (program, io, finish) => {
  program
    .command('agent')
    .description("Advertise this node's devices to its kubelet, with what their SMMUs can do.")
    .addOption(hostOption())
    .option('--kubelet-dir <dir>', "the kubelet's directory", '/var/lib/kubelet')
    .option(
      '--config <file>',
      'resources by selectors and features (docs/device-plugin.md); read again when it changes',
    )
    .addOption(
      new Option(
        '--registration <mode>',
        'register with the kubelet, or let its plugin watcher find the sockets',
      )
        .choices(['register', 'watcher'])
        .default('register'),
    )
    .option(
      '--cdi-dir <dir>',
      'where CDI specifications are written, if the configuration wants them',
      '/var/run/cdi',
    )
    .option('--state-dir <dir>', 'what survives a restart; default: plugins/vsmmu.io in --kubelet-dir')
    .option(
      '--dra',
      'serve the DRA driver vsmmu.io too: ResourceSlices and prepared ResourceClaims (docs/dra.md)',
    )
    .option('--http <addr:port>', 'serve /metrics, /healthz, /readyz and /status')
    .addOption(
      new Option('--iommufd <policy>', 'give /dev/iommu to containers whose devices all have a cdev')
        .choices(['auto', 'never'])
        .default('auto'),
    )
    .option('--no-bind', "ask no device; use what 'vsmmu reader' keeps in /run/vsmmu")
    .option('--node-name <name>', "keep this node's NodeProfile in the API server")
    .option('--events', "tell of devices' changes by Events about this node")
    .option('--kubeconfig <file>', "how to reach the API server, instead of the pod's own account")
    .option('--rescan-seconds <n>', 'look at the host again at least so often', rescanSeconds, 30)
    .addOption(
      new Option('--log-level <level>', 'what is logged')
        .choices(['error', 'warn', 'info', 'debug'])
        .default('info'),
    )
    .addOption(new Option('--log-format <format>', 'of log lines').choices(['json', 'text']).default('json'))
    .addHelpText(
      'after',
      '\nExamples:\n  vsmmu agent\n  vsmmu agent --host ./node1 --kubelet-dir /tmp/kubelet',
    )
    .action(async (options: AgentCommandOptions) => {
      const { runAgentCommand } = await import('./commands/agent.js');
      finish(await runAgentCommand(options, io));
    });
};

function rescanSeconds(text: string): number {
  const seconds = Number(text);
  if (!/^\d{1,5}$/.test(text) || seconds === 0)
    throw new InvalidArgumentError('Write whole seconds, 1 to 99999.');
  return seconds;
}
