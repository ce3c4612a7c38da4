// The real device manager, topology manager, plugin watcher and PodResources server of kubelet (../go, its version is
// in go.mod) as the peer of `vsmmu agent`. There is no container runtime: what a container would get is read instead.
import { goProgram } from '../kubernetes/go-program.mjs';
import { ALLOCATION, allocationChecks } from './allocation.mjs';
import { CONFIGURATION, configurationChecks } from './configuration.mjs';
import { KUBELET_CASES, kubeletCases } from './kubelet-cases.mjs';
import { LIST_LIMIT, listLimitChecks } from './list-limit.mjs';
import { REGISTRATION, registrationChecks } from './registration.mjs';
import { RESTARTS, restartChecks } from './restarts.mjs';
import { TOPOLOGY, topologyChecks } from './topology.mjs';
import { VERSIONS, versionChecks } from './versions.mjs';

export const suite = {
  name: 'kubelet',
  needs: "Go, for kubelet's managers; root, for the checks in which the host changes",
  timeoutMinutes: 15,
  checks: [
    VERSIONS,
    ALLOCATION,
    TOPOLOGY,
    REGISTRATION,
    LIST_LIMIT,
    CONFIGURATION,
    RESTARTS,
    KUBELET_CASES,
  ].flatMap((names) => Object.values(names)),
  async run(ctx) {
    await versionChecks(ctx);
    const program = await goProgram(ctx, 'kubelet-harness');
    // Without this nothing else can work, and every check would wait for its devices in vain.
    if (!(await allocationChecks(ctx, program))) return;
    await topologyChecks(ctx, program);
    await registrationChecks(ctx, program);
    await listLimitChecks(ctx, program);
    await configurationChecks(ctx, program);
    await kubeletCases(ctx, program);
    await restartChecks(ctx, program);
  },
};
