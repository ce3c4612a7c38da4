{{/* The text after an installation; a template of its own, so that tests can render it. */}}
{{- define "vsmmu.notes" -}}
vsmmu {{ .Chart.AppVersion }} is installed in namespace {{ include "vsmmu.namespace" . }}.
{{- if .Values.agent.enabled }}

What nodes have:
  kubectl get nodeprofiles
Logs of the agents:
  kubectl -n {{ include "vsmmu.namespace" . }} logs -l app.kubernetes.io/component=agent,app.kubernetes.io/instance={{ .Release.Name }} --prefix
KubeVirt hands out only devices that its own configuration permits; this makes the patch, from what the nodes have:
  kubectl -n kubevirt get kubevirt kubevirt -o yaml | vsmmu config kubevirt --current - > patch.yaml
  kubectl -n kubevirt patch kubevirt kubevirt --type merge --patch-file patch.yaml
{{- end }}
{{- if .Values.webhook.enabled }}

VMIs that ask for {{ join ", " .Values.webhook.deviceResources }} get the hook {{ include "vsmmu.hookImage" . }}.
KubeVirt runs hooks only with its feature gate "Sidecar".
Should the webhook ever stand in the way, this removes it; VMs go on running:
  kubectl delete mutatingwebhookconfiguration,validatingwebhookconfiguration {{ include "vsmmu.clusterName" . }}-webhook
{{- end }}
{{- if .Values.tests.enabled }}

Check the installation:
  helm test {{ .Release.Name }} --namespace {{ .Release.Namespace }}
{{- end }}
{{- if and (not .Values.image.registry) (not .Values.global.imageRegistry) }}

WARNING: image {{ include "vsmmu.image" . }} names no registry. Nodes must hold it already, or pulls fail.
{{- end }}
{{- if and .Values.webhook.enabled (not (contains "@sha256:" (include "vsmmu.hookImage" .))) }}

WARNING: the hook's image is not pinned by digest (image.digest or hook.image.digest). It runs beside VMs.
{{- end }}
{{- if and .Values.webhook.enabled (lt (int .Values.webhook.replicas) 2) }}

WARNING: with one webhook pod, its restart stops VMIs that ask for these devices from being created.
{{- end }}
{{- if and .Values.webhook.enabled (eq .Values.webhook.failurePolicy "Ignore") }}

WARNING: failurePolicy Ignore lets VMs start without the hook, and so without resolved values, while no webhook answers.
{{- end }}
{{- if and .Values.webhook.enabled (eq .Values.webhook.otherHooks "allow") }}

WARNING: otherHooks allow lets whoever creates VMIs run an image of his choice beside a VM with vsmmu's devices.
{{- end }}
{{- if and .Values.agent.enabled .Values.agent.profile.enabled (not (and .Values.policies.ownProfileOnly.enabled (include "vsmmu.hasPolicies" .))) }}

WARNING: without the policy own-profile-only (Kubernetes 1.30) a node that was broken into can lie about other nodes.
{{- end }}
{{- end }}
