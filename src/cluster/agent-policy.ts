export interface AgentPolicyOptions {
  readonly name: string;
  /** The agents' service account. */
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Where the API server writes a pod-bound token's node (KEP-4193, on since Kubernetes 1.32). */
const NODE_NAME = 'authentication.kubernetes.io/node-name';

/**
 * A ValidatingAdmissionPolicy and its binding: an agent writes the NodeProfile of the node that its token is bound
 * to and no other, so that a node that was broken into lies about itself at most. A token that is bound to no pod
 * of a node writes none.
 */
export function agentPolicy({ name, namespace, serviceAccount }: AgentPolicyOptions) {
  const identity = `system:serviceaccount:${namespace}:${serviceAccount}`;
  return {
    policy: {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name },
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          matchPolicy: 'Equivalent',
          resourceRules: [
            {
              apiGroups: ['vsmmu.io'],
              apiVersions: ['*'],
              resources: ['nodeprofiles', 'nodeprofiles/status'],
              operations: ['CREATE', 'UPDATE', 'DELETE'],
            },
          ],
        },
        matchConditions: [
          { name: 'an-agent-asks', expression: `request.userInfo.username == '${identity}'` },
        ],
        variables: [
          {
            name: 'tokenNode',
            expression: `has(request.userInfo.extra) && '${NODE_NAME}' in request.userInfo.extra && size(request.userInfo.extra['${NODE_NAME}']) == 1 ? request.userInfo.extra['${NODE_NAME}'][0] : ''`,
          },
          {
            name: 'profile',
            expression: "request.operation == 'DELETE' ? oldObject.metadata.name : object.metadata.name",
          },
        ],
        validations: [
          {
            expression: "variables.tokenNode != ''",
            message: "the agent's token is bound to no node: mount the pod's own projected token",
            reason: 'Forbidden',
          },
          {
            expression: 'variables.tokenNode == variables.profile',
            messageExpression:
              "'the agent of node ' + variables.tokenNode + ' may write its own NodeProfile only, not ' + variables.profile",
            reason: 'Forbidden',
          },
        ],
      },
    },
    binding: {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name },
      spec: { policyName: name, validationActions: ['Deny'] },
    },
  };
}
