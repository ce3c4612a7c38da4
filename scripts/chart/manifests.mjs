// manifests/: the chart rendered for common cases, for people without Helm. Each folder is a kustomize base.
import { renderChart } from './helm.mjs';

const CASES = {
  default: {
    about: 'Agent, webhook and controller; the webhook makes its own certificates.',
    set: [],
  },
  'cert-manager': {
    about: 'The same; cert-manager issues the webhook its certificate.',
    set: ['webhook.certificates.mode=cert-manager'],
    apiVersions: ['cert-manager.io/v1'],
  },
  dra: {
    about: 'As default, with the DRA driver beside the device plugin. Kubernetes 1.34 or later.',
    set: ['agent.dra.enabled=true'],
    apiVersions: ['resource.k8s.io/v1'],
  },
  'hook-only': {
    about: 'The webhook that attaches the hook, without agents: NodeProfiles come from elsewhere.',
    set: ['agent.enabled=false', 'controller.enabled=false'],
  },
  'device-plugin-only': {
    about: 'The agent alone: no webhook, no controller, no right in the API.',
    set: [
      'crds.install=false',
      'webhook.enabled=false',
      'controller.enabled=false',
      'agent.profile.enabled=false',
      'agent.events.enabled=false',
    ],
  },
};

/** The agent mounts folders of its node; the webhook keeps to "restricted". */
const namespace = (level) => `apiVersion: v1
kind: Namespace
metadata:
  name: vsmmu
  labels:
    pod-security.kubernetes.io/enforce: ${level}
`;

/** @returns {Record<string, string>} content by path */
export function manifests() {
  const files = {};
  for (const [name, { about, set, apiVersions }] of Object.entries(CASES)) {
    const { status, stdout, stderr } = renderChart({
      set: ['tests.enabled=false', 'cleanup.enabled=false', ...set],
      apiVersions,
    });
    if (status !== 0) throw new Error(`helm template for ${name}: ${stderr}`);
    const folder = `manifests/${name}`;
    files[`${folder}/vsmmu.yaml`] = plain(stdout);
    files[`${folder}/namespace.yaml`] = namespace(
      set.includes('agent.enabled=false') ? 'restricted' : 'privileged',
    );
    files[`${folder}/kustomization.yaml`] = kustomization(about);
  }
  return files;
}

/** What tells of Helm is not true of objects that kubectl applies. */
function plain(text) {
  const lines = text
    .split('\n')
    .filter((line) => !/^# Source: |^ +helm\.sh\/chart: |^ +app\.kubernetes\.io\/managed-by: /.test(line));
  return `# Rendered from charts/vsmmu by "npm run chart"; change the chart instead.\n${lines.join('\n').trimEnd()}\n`;
}

function kustomization(about) {
  return `# ${about}
# Set your registry and the digest of the image you pushed, in an overlay or here.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - namespace.yaml
  - vsmmu.yaml
`;
}
