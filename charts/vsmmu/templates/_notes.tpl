{{/* The text after an installation; a template of its own, so that tests can render it. */}}
{{- define "vsmmu.notes" -}}
vsmmu {{ .Chart.AppVersion }} is installed in namespace {{ include "vsmmu.namespace" . }}.
{{- if .Values.agent.enabled }}

Devices that nodes advertise:
  kubectl get nodes -o json | grep '"vsmmu.io/'
Logs of the agents:
  kubectl -n {{ include "vsmmu.namespace" . }} logs -l app.kubernetes.io/component=agent,app.kubernetes.io/instance={{ .Release.Name }} --prefix
KubeVirt hands out only devices that its own configuration permits. Resources are named vsmmu.io/<vendor>-<device>; add
one entry for each to spec.configuration of the KubeVirt object, for example:
  permittedHostDevices:
    pciHostDevices:
      - pciVendorSelector: "10DE:2941"
        resourceName: vsmmu.io/10de-2941
        externalResourceProvider: true
{{- end }}
{{- if .Values.webhook.enabled }}

VMIs that ask for {{ join ", " .Values.webhook.deviceResources }} get the hook {{ include "vsmmu.hookImage" . }}.
KubeVirt runs hooks only with its feature gate "Sidecar".
Should the webhook ever stand in the way, this removes it; VMs go on running:
  kubectl delete mutatingwebhookconfiguration {{ include "vsmmu.clusterName" . }}-webhook
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
{{- if and .Values.webhook.enabled (eq .Values.webhook.certificates.mode "helm") }}

WARNING: the certificate ends {{ .Values.webhook.certificates.validityDays }} days after it was issued; before then, upgrade once with
webhook.certificates.rotate=true.
{{- end }}
{{- end }}
