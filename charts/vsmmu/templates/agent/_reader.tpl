{{/*
The reader must open /dev/iommu and devices' nodes, and config space beyond 64 bytes wants CAP_SYS_ADMIN. Kubernetes
can let a container open a node of the host by "privileged" only; everything else that can be taken away is.
*/}}
{{- define "vsmmu.readerContainer" -}}
image: {{ include "vsmmu.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{ include "vsmmu.environment" (dict "root" . "component" "agent") }}
securityContext:
  privileged: true
  readOnlyRootFilesystem: true
resources:
  {{- toYaml .Values.agent.reader.resources | nindent 2 }}
volumeMounts:
  # A privileged container's own /sys could be written to.
  - name: sys
    mountPath: /sys
    readOnly: true
  - name: answers
    mountPath: /run/vsmmu
  - name: vfio
    mountPath: /dev/vfio
{{- end }}
