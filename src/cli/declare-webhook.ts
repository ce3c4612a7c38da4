import { InvalidArgumentError, Option } from 'commander';

import type { WebhookCommandOptions } from './commands/webhook.js';
import type { Declare } from './declaration.js';
import { version } from './version.js';

const DAY_SECONDS = 86_400;

export const declareWebhook: Declare = (program, io, finish) => {
  program
    .command('webhook')
    .description('Serve the admission webhook for VirtualMachineInstances.')
    .requiredOption('--listen <addr:port>', 'where to listen: 0.0.0.0:8443, [::1]:8443, :8443')
    .option('--tls-cert <file>', 'serving certificate, PEM; read again when it changes')
    .option('--tls-key <file>', 'its key, PEM')
    .addOption(choice('--tls-min-version <version>', 'oldest TLS version', ['TLSv1.3', 'TLSv1.2']))
    .option('--client-ca <file>', 'only clients with a certificate of this authority may ask for reviews')
    .option('--client-name <name...>', 'and only with one of these common names', [])
    .option('--resource <name...>', 'resources that are served: a full name, or a domain with its "/"', [
      'vsmmu.io/',
    ])
    .option('--hook-image <image>', "image of the hook's sidecar", `vsmmu:${version}`)
    .addOption(
      choice('--hook-pull-policy <policy>', "when a node pulls the hook's image", [
        'IfNotPresent',
        'Always',
        'Never',
      ]),
    )
    .option('--hook-arg <arg...>', "arguments for the hook beside 'hook', such as --target=override", [])
    .addOption(
      choice('--other-hooks <policy>', "other hook sidecars in a VMI with vsmmu's devices", [
        'refuse',
        'allow',
      ]),
    )
    .option('--cluster', 'talk to the API server: hand node values over, validate, make certificates', false)
    .option('--policies', 'with --cluster: apply Policy and Baseline objects to new VMIs', false)
    .option('--dra', 'with --cluster: serve VMIs that ask for devices of vsmmu.io by ResourceClaims', false)
    .option('--kubeconfig <file>', "how to reach it, instead of the pod's own account")
    .option('--max-profile-age <seconds>', 'how long an agent may be silent; 0: for ever', seconds, 3600)
    .option('--kubevirt-namespace <name>', "namespace of KubeVirt's own service accounts", 'kubevirt')
    .option('--namespace <name>', "the webhook's own namespace", 'vsmmu-system')
    .option('--service <name>', "the webhook's Service, which certificates are for", 'vsmmu-webhook')
    .option('--certificate-name <name...>', 'further names or addresses that certificates are for', [])
    .option(
      '--certificate-secret <name>',
      'Secret of the certificate authorities',
      'vsmmu-webhook-authorities',
    )
    .option('--mutating-configuration <name...>', 'configurations that are to trust them', ['vsmmu-webhook'])
    .option('--validating-configuration <name...>', 'and validating ones', ['vsmmu-webhook'])
    .option('--ca-lifetime <seconds>', 'life of a certificate authority', seconds, 180 * DAY_SECONDS)
    .option('--leaf-lifetime <seconds>', 'life of a serving certificate', seconds, 7 * DAY_SECONDS)
    .option('--shutdown-delay <seconds>', 'time to serve on after SIGTERM', seconds, 10)
    .addOption(choice('--log-level <level>', 'least urgent lines', ['info', 'error', 'warn', 'debug']))
    .addOption(choice('--log-format <format>', 'one JSON object a line, or text', ['json', 'text']))
    .addHelpText(
      'after',
      '\nExamples:\n  vsmmu webhook --listen :8443 --tls-cert tls.crt --tls-key tls.key\n  vsmmu webhook --listen :8443 --cluster --policies',
    )
    .action(async (options: WebhookCommandOptions) => {
      const { runWebhook } = await import('./commands/webhook.js');
      finish(await runWebhook(options, io));
    });
};

/** The first choice is the default. */
function choice(flags: string, description: string, choices: readonly [string, ...string[]]): Option {
  return new Option(flags, description).choices([...choices]).default(choices[0]);
}

function seconds(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Write whole seconds.');
  return Number(text);
}
