{{/* (list root queue): the queue's values over those of all workers over those of every component */}}
{{- define "corepoint.worker.values" -}}
{{- $root := index . 0 -}}
{{- $common := omit $root.Values.workers "queues" "reserve" "pool" -}}
{{- mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy $common) (deepCopy (index $root.Values.workers.queues (index . 1))) | toYaml -}}
{{- end -}}

{{- define "corepoint.worker.name" -}}
{{ include "corepoint.fullname" (index . 0) }}-worker-{{ index . 1 }}
{{- end -}}

{{/* (list root queue limit): batches at a time; Spark in its own pod measures there, so one */}}
{{- define "corepoint.worker.limit" -}}
{{- if and (eq (index . 1) "spark") (not (include "corepoint.spark.distributed" .)) }}1{{ else }}{{ index . 2 }}{{ end -}}
{{- end -}}

{{/* (list root queue): may its worker make SparkApplications? */}}
{{- define "corepoint.worker.account" -}}
{{- if include "corepoint.spark.distributed" . }}{{ include "corepoint.host" (list (index . 0) "spark-worker") }}{{ end -}}
{{- end -}}
