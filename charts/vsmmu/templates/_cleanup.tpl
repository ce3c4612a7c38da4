{{/*
A Job of "helm uninstall", with an account and rights that live as long as it does.
(dict "root" $ "when" "pre-delete" "options" (list "--node-labels") "rules" list)
*/}}
{{- define "vsmmu.cleanup" -}}
{{- $root := .root }}
{{- $suffix := printf "-%s" .when }}
{{- $annotations := dict "helm.sh/hook" .when "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" "helm.sh/hook-weight" "-5" }}
{{- $metadata := dict "root" $root "component" "cleanup" "suffix" $suffix "annotations" $annotations }}
{{- $name := printf "%s%s" (include "vsmmu.fullname" $root) $suffix }}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "vsmmu.metadata" $metadata | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  {{- include "vsmmu.clusterMetadata" $metadata | nindent 2 }}
rules:
  {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "vsmmu.clusterMetadata" $metadata | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include "vsmmu.clusterName" $root }}{{ $suffix }}
subjects:
  - kind: ServiceAccount
    name: {{ $name }}
    namespace: {{ include "vsmmu.namespace" $root | quote }}
---
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "vsmmu.metadata" (merge (dict "annotations" (merge (dict "helm.sh/hook-weight" "0") $annotations)) $metadata) | nindent 2 }}
spec:
  backoffLimit: 3
  activeDeadlineSeconds: {{ $root.Values.cleanup.deadlineSeconds }}
  template:
    metadata:
      labels:
        {{- include "vsmmu.labels" $metadata | nindent 8 }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        {{- include "vsmmu.restrictedPod" $root | nindent 8 }}
      {{- with include "vsmmu.imagePullSecrets" $root }}
      {{- trim . | nindent 6 }}
      {{- end }}
      {{- with $root.Values.controller.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.controller.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: cleanup
          image: {{ include "vsmmu.image" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args:
            - cleanup
            {{- toYaml .options | nindent 12 }}
          securityContext:
            {{- include "vsmmu.restrictedContainer" $root | nindent 12 }}
          resources:
            requests: { cpu: 10m, memory: 64Mi }
            limits: { memory: 256Mi }
          volumeMounts:
            {{- include "vsmmu.tokenMount" $root | nindent 12 }}
      volumes:
        {{- include "vsmmu.tokenVolume" $root | nindent 8 }}
{{- end }}
