{{/* An image reference from registry, repository, tag and digest: the digest wins over the tag. */}}
{{- define "vsmmu.reference" -}}
{{- $registry := default .image.registry .root.Values.global.imageRegistry }}
{{- $repository := .image.repository }}
{{- if $registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" $registry) $repository }}{{ end }}
{{- if .image.digest }}
{{- printf "%s@%s" $repository .image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) }}
{{- end }}
{{- end }}

{{- define "vsmmu.image" -}}
{{- include "vsmmu.reference" (dict "root" . "image" .Values.image) }}
{{- end }}

{{- define "vsmmu.hookImage" -}}
{{- if .Values.hook.image.repository }}
{{- include "vsmmu.reference" (dict "root" . "image" .Values.hook.image) }}
{{- else }}
{{- include "vsmmu.image" . }}
{{- end }}
{{- end }}

{{- define "vsmmu.hookPullPolicy" -}}
{{- default .Values.image.pullPolicy .Values.hook.image.pullPolicy }}
{{- end }}

{{- define "vsmmu.imagePullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.imagePullSecrets | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
