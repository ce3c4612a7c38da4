import { randomBytes } from 'node:crypto';

/** Long enough for "hook-sidecar-12", short enough for the 107 bytes of a socket's path. */
const CONTAINER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/;

/**
 * The socket's base name. It must be unique in the pod: virt-launcher remembers sidecars by base name, and two
 * of the same name make it wait for one for ever and give up on the VM. KubeVirt sets CONTAINER_NAME to
 * "hook-sidecar-<i>".
 */
export function hookSocketName(env: NodeJS.ProcessEnv): string {
  const container = env['CONTAINER_NAME'];
  const unique =
    container !== undefined && CONTAINER_NAME.test(container)
      ? container
      : `vsmmu-${randomBytes(6).toString('hex')}`;
  return `${unique}.sock`;
}
