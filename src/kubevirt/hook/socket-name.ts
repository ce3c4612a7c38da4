/** Long enough for "hook-sidecar-12", short enough for the 107 bytes of a socket's path. */
const CONTAINER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/;

/**
 * The socket's base name. It must be unique in the pod: virt-launcher remembers sidecars by base name, and two
 * of the same name make it wait for one for ever and give up on the VM. KubeVirt sets CONTAINER_NAME to
 * "hook-sidecar-<i>". The random one is made by the global `crypto`, which is loaded when it is used.
 */
export function hookSocketName(env: NodeJS.ProcessEnv): string {
  const container = env['CONTAINER_NAME'];
  const unique =
    container !== undefined && CONTAINER_NAME.test(container)
      ? container
      : `vsmmu-${crypto.randomUUID().slice(-12)}`;
  return `${unique}.sock`;
}
