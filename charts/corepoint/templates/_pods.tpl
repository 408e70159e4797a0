{{/*
What every pod says, whatever it runs. A dict of
  root, component (label), values (merged with defaults), account (ServiceAccount; <fullname> by default),
  token (bool: may it speak to the API server), uid, spread (labels of the pods it keeps away from)
*/}}
{{- define "corepoint.pod" -}}
{{- $root := .root -}}
{{- $values := .values -}}
serviceAccountName: {{ .account | default (include "corepoint.fullname" $root) }}
automountServiceAccountToken: {{ .token | default false }}
# Service links would put COREPOINT_*, PREFECT_* and MINIO_* variables of other releases into the environment.
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "corepoint.security.pod" (list (.uid | default 10001) $values) | nindent 2 }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $values.topologySpreadConstraints }}
topologySpreadConstraints: {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else if .spread }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- .spread | nindent 8 }}
{{- end }}
{{- end -}}

{{/* (list root component values checksums): metadata of a pod template; checksums is a list of "config", "secret" */}}
{{- define "corepoint.pod.metadata" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
labels: {{- include "corepoint.labels" (list $root (index . 1)) | nindent 2 }}
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or (index . 3) $values.podAnnotations }}
annotations:
  {{- range index . 3 }}
  checksum/{{ . }}: {{ include (printf "corepoint.checksum.%s" .) $root }}
  {{- end }}
  {{- with $values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "corepoint.checksum.config" -}}
{{ include "corepoint.config.data" . | sha256sum }}
{{- end -}}

{{- define "corepoint.checksum.secret" -}}
{{ include "corepoint.secrets.data" . | sha256sum }}
{{- end -}}

{{/* (list path port period failures): an HTTP probe */}}
{{- define "corepoint.probe" -}}
httpGet: {path: {{ index . 0 }}, port: {{ index . 1 }}}
periodSeconds: {{ index . 2 }}
failureThreshold: {{ index . 3 }}
timeoutSeconds: 5
{{- end -}}

{{/* (list live-path ready-path port): up to five minutes to start, then a minute of silence ends it */}}
{{- define "corepoint.probes" -}}
{{- $live := index . 0 -}}
{{- $ready := index . 1 -}}
{{- $port := index . 2 -}}
startupProbe: {{- include "corepoint.probe" (list $live $port 3 100) | nindent 2 }}
livenessProbe: {{- include "corepoint.probe" (list $live $port 15 4) | nindent 2 }}
readinessProbe: {{- include "corepoint.probe" (list $ready $port 5 3) | nindent 2 }}
{{- end -}}

{{/* (list root host port name): an init container that waits until something listens */}}
{{- define "corepoint.wait.port" -}}
{{- $root := index . 0 -}}
- name: wait-for-{{ index . 3 }}
  image: {{ include "corepoint.image" (list $root "api") }}
  imagePullPolicy: {{ $root.Values.images.api.pullPolicy }}
  args: [python, -m, app.processes, wait-tcp, {{ index . 1 | quote }}, {{ index . 2 | quote }}]
  securityContext: {{- include "corepoint.security.container" . | nindent 4 }}
  resources: {{- toYaml $root.Values.migrate.waitResources | nindent 4 }}
  volumeMounts: [{name: tmp, mountPath: /tmp}]
{{- end -}}

{{/* An init container that waits until the database is at this version's revision */}}
{{- define "corepoint.wait.database" -}}
- name: wait-for-database
  image: {{ include "corepoint.image" (list . "api") }}
  imagePullPolicy: {{ .Values.images.api.pullPolicy }}
  args: [python, -m, app.processes, wait]
  env: {{- include "corepoint.env" (list (include "corepoint.env.database" .)) | nindent 4 }}
  securityContext: {{- include "corepoint.security.container" . | nindent 4 }}
  resources: {{- toYaml .Values.migrate.waitResources | nindent 4 }}
  volumeMounts: [{name: tmp, mountPath: /tmp}]
{{- end -}}

{{/* extraVolumeMounts and extraVolumes of a component, as items of a list */}}
{{- define "corepoint.extra.mounts" -}}
{{- with .extraVolumeMounts }}{{ toYaml . }}{{ end -}}
{{- end -}}
{{- define "corepoint.extra.volumes" -}}
{{- with .extraVolumes }}{{ toYaml . }}{{ end -}}
{{- end -}}
