{{- define "vsmmu.subjects" -}}
- kind: ServiceAccount
  name: {{ include "vsmmu.serviceAccountName" . | quote }}
  namespace: {{ include "vsmmu.namespace" .root | quote }}
{{- end }}

{{- define "vsmmu.clusterRoleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "vsmmu.clusterMetadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include "vsmmu.clusterName" .root }}{{ .suffix }}
subjects:
  {{- include "vsmmu.subjects" . | nindent 2 }}
{{- end }}

{{- define "vsmmu.roleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "vsmmu.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "vsmmu.fullname" .root }}{{ .suffix }}
subjects:
  {{- include "vsmmu.subjects" . | nindent 2 }}
{{- end }}

{{/* A token of one hour, bound to the pod, for the one container that needs it; what the kubelet would mount is for a year and for all. */}}
{{- define "vsmmu.tokenVolume" -}}
- name: token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end }}

{{- define "vsmmu.tokenMount" -}}
- name: token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}

{{- define "vsmmu.apiServerEgress" -}}
egress:
  - ports:
      {{- range .Values.apiServerPorts }}
      - port: {{ . }}
        protocol: TCP
      {{- end }}
{{- end }}
