{{/* What pods of all parts have in common. */}}

{{/* Pod Security Standard "restricted". 65532 is the image's own user; OpenShift wants to choose one itself. */}}
{{- define "vsmmu.restrictedPod" -}}
runAsNonRoot: true
{{- if not .Values.openshift.enabled }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "vsmmu.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "vsmmu.podLabels" -}}
{{- include "vsmmu.labels" . }}
{{- with (index .root.Values .component).podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "vsmmu.podAnnotations" -}}
{{- with merge (dict) (index .root.Values .component).podAnnotations .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Fields of a pod's spec that the values set alike for every part. */}}
{{- define "vsmmu.podPlacement" -}}
{{- $part := index .root.Values .component }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "vsmmu.imagePullSecrets" .root }}
{{- end }}

{{/*
One of Node's own settings, in MiB: a smaller young generation keeps 3 MiB back, at no cost for programs this small. What
runs on every node gets the least; webhook and controller parse more JSON at a time.
*/}}
{{- define "vsmmu.environment" -}}
env:
  - name: NODE_OPTIONS
    value: --max-semi-space-size={{ eq .component "agent" | ternary 1 2 }}
  {{- with (index .root.Values .component).extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
