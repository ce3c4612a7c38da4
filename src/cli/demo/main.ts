import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import { runAgentCommand } from '../commands/agent.js';
import { runHook } from '../commands/hook.js';
import { runProbe } from '../commands/probe.js';
import { runResolveHost } from '../commands/resolve-host.js';
import { runRewrite } from '../commands/rewrite.js';
import { rewriteDomain } from '../../domain/rewrite.js';
import { probeFeatures } from '../host.js';
import type { CliIo } from '../io.js';
import { processIo } from '../process-io.js';
import { renderError } from '../render-error.js';
import { annotated, reviewVmi } from './admission.js';
import { playKubelet } from './kubelet.js';
import { NullStream } from './null-stream.js';
import { Stage } from './stage.js';
import { playVirtLauncher } from './virt-launcher.js';

/** The demo's files stand in the source tree; the bundle is in dist/. Shown paths are shorter than absolute ones. */
const FILES = relative('.', fileURLToPath(new URL('../src/cli/demo/', import.meta.url)));
const HOST = join(FILES, 'two-gpu-host');
const DOMAIN = join(FILES, 'two-gpu.domain.xml');
const VMI = join(FILES, 'two-gpu.vmi.json');
const NODE = 'demo-node';
/** 10de:2941-ats (two GPUs) and 15b3:1023 (a NIC whose ATS the kernel reports as unusable). */
const RESOURCES = 2;
const AGENT = { iommufd: 'auto', rescanSeconds: 60, logLevel: 'error', logFormat: 'json' } as const;

async function demo(io: CliIo, scratch: string): Promise<void> {
  const stage = new Stage(io);
  const quiet = { ...io, stderr: new NullStream() };

  await stage.step('Probe: what this host can do, and how that is known', async () => {
    stage.command('vsmmu probe --host two-gpu-host');
    await runProbe({ host: HOST, all: false, output: 'table' }, io);
    return 'two SMMUs that differ, three passthrough devices';
  });

  await stage.step('Resolve: what "auto" becomes behind each SMMU', async () => {
    stage.command('vsmmu resolve --host two-gpu-host');
    await runResolveHost({ host: HOST, output: 'table' }, io);
    return 'ril and ssidsize differ between the two SMMUs';
  });

  await stage.step('Rewrite: the domain as KubeVirt makes it, and as it should be', async () => {
    stage.command('vsmmu rewrite --host two-gpu-host --diff two-gpu.domain.xml');
    await runRewrite(DOMAIN, { host: HOST, diff: true }, io);
    return 'resolved values in place, the rest byte for byte';
  });

  await stage.step('Device plugin: devices by their features, over a kubelet socket', async () => {
    stage.command('vsmmu agent --host two-gpu-host --kubelet-dir …');
    return showAgent(stage, quiet, join(scratch, 'kubelet'));
  });

  const vmi: unknown = JSON.parse(await readFile(VMI, 'utf8'));
  await stage.step('Webhook: a VM is created, the hook is attached', async () => {
    stage.command('POST https://127.0.0.1/mutate');
    const patch = await reviewVmi(vmi);
    stage.say(`${JSON.stringify(patch, null, 2)}\n`);
    return `${patch.length} patch operation(s) for the VMI`;
  });

  await stage.step('Hook: virt-launcher defines the domain', async () => {
    stage.command('vsmmu hook --socket-dir …');
    return showHook(stage, quiet, join(scratch, 'hooks'), vmi);
  });

  stage.summary();
}

async function showAgent(stage: Stage, io: CliIo, kubeletDir: string): Promise<string> {
  const kubelet = await playKubelet(kubeletDir);
  const stop = new AbortController();
  const agent = runAgentCommand({ ...AGENT, host: HOST, kubeletDir }, { ...io, signal: stop.signal });
  try {
    const advertised = await kubelet.advertised(RESOURCES);
    for (const { resource, devices } of advertised)
      for (const { id, health, numa } of devices)
        stage.say(`  ${resource}  ${id}  ${health}  NUMA node ${numa}\n`);
    const gpus = advertised.find(({ resource }) => resource.endsWith('-ats'));
    const [gpu] = gpus?.devices ?? [];
    if (gpus === undefined || gpu === undefined) throw new Error('the GPUs were not advertised');
    const { containerResponses } = await gpus.plugin.call.allocate({
      containerRequests: [{ devicesIds: [gpu.id] }],
    });
    stage.say(`  Allocate ${gpu.id}:\n`);
    for (const { devices, envs } of containerResponses) {
      for (const { hostPath, permissions } of devices) stage.say(`    ${hostPath} ${permissions}\n`);
      for (const [name, value] of Object.entries(envs)) stage.say(`    ${name}=${value}\n`);
    }
    return `${advertised.length} resources registered, one GPU allocated`;
  } finally {
    stop.abort();
    await agent;
    await kubelet.close();
  }
}

async function showHook(stage: Stage, io: CliIo, socketDir: string, vmi: unknown): Promise<string> {
  await mkdir(socketDir);
  const before = await readFile(DOMAIN, 'utf8');
  const hook = runHook({ socketDir }, { ...io, env: { CONTAINER_NAME: 'hook-sidecar-0' } });
  const features = await probeFeatures(HOST, io);
  const withValues = annotated(vmi, features, NODE);
  const answer = await playVirtLauncher(socketDir, before, withValues);
  await hook;
  stage.say(`  ${answer.name} (${answer.versions.join(', ')}) answered:\n`);
  for (const line of answer.domainXml
    .split('\n')
    .filter((text) => /pciBus|qemu:(device|property)/.test(text)))
    stage.say(`  ${line.trim()}\n`);
  if (answer.domainXml !== rewriteDomain(before, features).text)
    throw new Error('the hook and the command line disagree');
  return 'the same XML as the command line, from the annotation alone';
}

const scratch = await mkdtemp(join(tmpdir(), 'vsmmu-demo-'));
const io = processIo();
try {
  await demo(io, scratch);
} catch (error) {
  io.stderr.write(renderError(error));
  process.exitCode = 1;
} finally {
  await rm(scratch, { recursive: true, force: true });
}
