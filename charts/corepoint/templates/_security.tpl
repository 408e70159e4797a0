{{/* (list uid component-values): the restricted profile for a pod */}}
{{- define "corepoint.security.pod" -}}
{{- $uid := index . 0 | int -}}
{{- $base := dict "runAsNonRoot" true "runAsUser" $uid "runAsGroup" $uid "fsGroup" $uid "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- mergeOverwrite $base (index . 1).podSecurityContext | toYaml -}}
{{- end -}}

{{/* The restricted profile for a container; there are no exceptions. */}}
{{- define "corepoint.security.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}
