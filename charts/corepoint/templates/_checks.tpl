{{/* What the schema cannot say: values that do not go together. The message says what to do. */}}
{{- define "corepoint.checks" -}}
{{- $root := . -}}
{{- $values := .Values -}}
{{- if and (not $values.postgres.enabled) (not $values.postgres.external.existingSecret) -}}
{{- fail "postgres.enabled is false: postgres.external.existingSecret must name the Secret with the databases' URLs or, with postgres.external.host, passwords" -}}
{{- end -}}
{{- if and (not $values.prefect.enabled) (ne $values.prefect.external.authentication "none") (not $values.prefect.external.existingSecret) -}}
{{- fail (printf "prefect.external.authentication is %s: prefect.external.existingSecret must name the Secret that holds it" $values.prefect.external.authentication) -}}
{{- end -}}
{{- range $queue, $_ := include "corepoint.queues" . | fromYaml -}}
{{- $worker := include "corepoint.worker.values" (list $root $queue) | fromYaml -}}
{{- $scaling := $worker.autoscaling -}}
{{- if gt (int $scaling.min) (int $scaling.max) -}}
{{- fail (printf "workers.queues.%s: autoscaling.min (%v) is above autoscaling.max (%v)" $queue $scaling.min $scaling.max) -}}
{{- end -}}
{{- if and $scaling.enabled (eq (int $scaling.min) 0) (ne $values.autoscaling.source "keda") -}}
{{- fail (printf "workers.queues.%s.autoscaling.min is 0: only KEDA scales to nothing; set 1, or autoscaling.source=keda" $queue) -}}
{{- end -}}
{{- if and (eq $queue "spark") (ne $worker.image "spark") -}}
{{- fail "workers.queues.spark.image must be spark: the other image has no JVM" -}}
{{- end -}}
{{- $grace := int $worker.terminationGracePeriodSeconds -}}
{{- if and $grace (lt $grace (int $worker.sampleSeconds)) -}}
{{- fail (printf "workers.queues.%s: a worker is killed after %d s, in the middle of a sample of up to %v s; raise terminationGracePeriodSeconds or lower sampleSeconds" $queue $grace $worker.sampleSeconds) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $values.autoscaling.source "keda") (not ($root.Capabilities.APIVersions.Has "keda.sh/v1alpha1")) -}}
{{- fail "autoscaling.source is keda, and KEDA is not in this cluster; install it first (k8s/keda). For `helm template`: --api-versions keda.sh/v1alpha1" -}}
{{- end -}}
{{- if gt (include "corepoint.bytes" $values.spark.executor.memory | int64) (include "corepoint.bytes" $values.spark.executor.memoryMax | int64) -}}
{{- fail "spark.executor.memory is above spark.executor.memoryMax" -}}
{{- end -}}
{{- if gt (include "corepoint.bytes" $values.spark.driver.memory | int64) (include "corepoint.bytes" $values.spark.driver.memoryMax | int64) -}}
{{- fail "spark.driver.memory is above spark.driver.memoryMax" -}}
{{- end -}}
{{- end -}}
