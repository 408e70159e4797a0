{{/* Release name, or <release>-corepoint; short enough for <fullname>-worker-high-memory and a Job's revision. */}}
{{- define "corepoint.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "corepoint" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-corepoint" (.Release.Name | trunc 30 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* (list root component): what a selector may hold; it can never change in a release. */}}
{{- define "corepoint.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: corepoint
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* (list root component) */}}
{{- define "corepoint.labels" -}}
{{- $root := index . 0 -}}
{{ include "corepoint.selector" . }}
app.kubernetes.io/part-of: corepoint
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* (list root component queue) */}}
{{- define "corepoint.worker.selector" -}}
{{ include "corepoint.selector" (list (index . 0) (index . 1)) }}
corepoint.io/queue: {{ index . 2 }}
{{- end -}}

{{/* (list root image): the reference of one of .Values.images */}}
{{- define "corepoint.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.images (index . 1) -}}
{{- $registry := $root.Values.global.imageRegistry | default $image.registry -}}
{{- $tag := $image.tag -}}
{{- if and (not $tag) (has (index . 1) (list "api" "worker" "spark" "mlflow")) -}}
{{- $tag = $root.Values.global.imageTag | default $root.Chart.AppVersion -}}
{{- end -}}
{{- with $registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $tag }}{{ end -}}
{{- end -}}

{{/* (list root key): the component's values over those every component takes */}}
{{- define "corepoint.component" -}}
{{- $root := index . 0 -}}
{{- mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy (index $root.Values (index . 1))) | toYaml -}}
{{- end -}}
