import { basename } from 'node:path';

/**
 * What a person types for us: kubectl runs the program "kubectl-vsmmu" for "kubectl vsmmu", with the same arguments
 * (https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/).
 *
 * @param path of the program as it was started, a link unresolved
 */
export function programName(path: string | undefined): string {
  return basename(path ?? '').replace(/\.js$/, '') === 'kubectl-vsmmu' ? 'kubectl vsmmu' : 'vsmmu';
}
