import { InvalidArgumentError, Option } from 'commander';

import type { HookCommandOptions } from './commands/hook.js';
import type { WebhookCommandOptions } from './commands/webhook.js';
import type { Declare } from './declaration.js';
import { existingOption, spellingOption, targetOption } from './declare-domain.js';
import { version } from './version.js';

/** Long-running parts of a cluster: agent, webhook, hook. */
export const declareClusterCommands: Declare = (program, io, finish) => {
  declareHook(program, io, finish);
  declareWebhook(program, io, finish);
};

const declareHook: Declare = (program, io, finish) => {
  program
    .command('hook')
    .description("Serve KubeVirt's hook sidecar API: rewrite the VM's domain with its node's values.")
    .option('--socket-dir <dir>', "where virt-launcher looks for hooks' sockets", '/var/run/kubevirt-hooks')
    .addOption(existingOption())
    .addOption(targetOption())
    .addOption(spellingOption())
    .option('--no-vfio-ats', 'the QEMU has no vfio-pci ats property (older than 11.1)')
    .action(async (options: HookCommandOptions) => {
      const { runHook } = await import('./commands/hook.js');
      finish(await runHook(options, io));
    });
};

const declareWebhook: Declare = (program, io, finish) => {
  program
    .command('webhook')
    .description('Serve the admission webhook for VirtualMachineInstances.')
    .requiredOption('--listen <addr:port>', 'where to listen: 0.0.0.0:8443, [::1]:8443, :8443')
    .requiredOption('--tls-cert <file>', 'serving certificate, PEM; read again when it changes')
    .requiredOption('--tls-key <file>', 'its key, PEM')
    .addOption(
      new Option('--tls-min-version <version>', 'oldest TLS version')
        .choices(['TLSv1.2', 'TLSv1.3'])
        .default('TLSv1.3'),
    )
    .option('--resource <name...>', 'resources that are served: a full name, or a domain with its "/"', [
      'vsmmu.io/',
    ])
    .option('--hook-image <image>', "image of the hook's sidecar", `vsmmu:${version}`)
    .addOption(
      new Option('--hook-pull-policy <policy>', "when a node pulls the hook's image")
        .choices(['Always', 'IfNotPresent', 'Never'])
        .default('IfNotPresent'),
    )
    .option('--hook-arg <arg...>', "arguments for the hook beside 'hook', such as --target=override", [])
    .option('--shutdown-delay <seconds>', 'time to serve on after SIGTERM', seconds, 10)
    .action(async (options: WebhookCommandOptions) => {
      const { runWebhook } = await import('./commands/webhook.js');
      finish(await runWebhook(options, io));
    });
};

function seconds(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError('Write whole seconds, 0 to 9999.');
  return Number(text);
}
