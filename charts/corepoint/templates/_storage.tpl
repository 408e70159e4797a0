{{/* (list root values component): volumeClaimTemplates of a StatefulSet; none where it has a volume of its own */}}
{{- define "corepoint.storage.claims" -}}
{{- $store := (index . 1).persistence -}}
{{- if and $store.enabled (not $store.existingClaim) }}
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: data
      labels: {{- include "corepoint.selector" (list (index . 0) (index . 2)) | nindent 8 }}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with $store.storageClass }}
      storageClassName: {{ ternary "" . (eq . "-") | quote }}
      {{- end }}
      resources: {requests: {storage: {{ $store.size }}}}
{{- end }}
{{- end -}}

{{/* The data volume of a StatefulSet (its values) that has no template of one: a claim of yours, or an emptyDir */}}
{{- define "corepoint.storage.volume" -}}
{{- $store := .persistence -}}
{{- if not $store.enabled -}}
- {name: data, emptyDir: {sizeLimit: {{ $store.size }}}}
{{- else if $store.existingClaim -}}
- {name: data, persistentVolumeClaim: {claimName: {{ $store.existingClaim }}}}
{{- end -}}
{{- end -}}
