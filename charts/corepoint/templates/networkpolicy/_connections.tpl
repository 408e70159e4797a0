{{/*
Who opens connections to whom: the one table that both sides of every policy are made of. `to` may be a component of
ours, `anyone` may be `from`; without a port, all of them. What is not here is refused, except for DNS.
*/}}
{{- define "corepoint.connections" -}}
{{- $operator := and .Values.spark.enabled (eq .Values.spark.submitter "operator") -}}
- {from: api, to: postgres, port: 5432}
- {from: api, to: minio, port: 9000}
- {from: api, to: prefect, port: 4200}
- {from: dispatcher, to: postgres, port: 5432}
- {from: dispatcher, to: minio, port: 9000}
- {from: dispatcher, to: prefect, port: 4200}
- {from: dispatcher, to: mlflow, port: 5000}
- {from: dispatcher, to: kube-apiserver}
- {from: dispatcher, to: webhooks}
- {from: metrics, to: postgres, port: 5432}
- {from: metrics, to: kube-apiserver}
- {from: migrate, to: postgres, port: 5432}
- {from: migrate, to: minio, port: 9000}
- {from: prefect, to: postgres, port: 5432}
- {from: mlflow, to: postgres, port: 5432}
- {from: mlflow, to: minio, port: 9000}
- {from: worker, to: api, port: 8788}
- {from: worker, to: prefect, port: 4200}
- {from: worker, to: minio, port: 9000}
- {from: worker, to: datasets}
- {from: test, to: api, port: 8787}
# The API asks for a key.
- {from: anyone, to: api, port: 8787}
{{- if include "corepoint.metrics.builtin" . }}
# It asks for the API server's client certificate; that server has no address to go by.
- {from: anyone, to: metrics, port: 9443}
{{- end }}
- {from: scrapers, to: dispatcher, port: 8789}
- {from: scrapers, to: metrics, port: 9090}
{{- if $operator }}
- {from: spark-worker, to: kube-apiserver}
- {from: spark-driver, to: minio, port: 9000}
- {from: spark-driver, to: kube-apiserver}
# The driver's own port, and that of block managers (workers/spark/submit/application.py).
- {from: spark-executor, to: spark-driver, port: 7078}
- {from: spark-executor, to: spark-driver, port: 7079}
- {from: spark-executor, to: spark-executor, port: 7079}
- {from: spark-driver, to: spark-executor, port: 7079}
- {from: spark-executor, to: minio, port: 9000}
{{- end }}
{{- if .Values.podIsolation.enabled }}
- {from: pods-worker, to: prefect, port: 4200}
- {from: pods-worker, to: kube-apiserver}
- {from: trial, to: api, port: 8788}
- {from: trial, to: prefect, port: 4200}
- {from: trial, to: minio, port: 9000}
- {from: trial, to: datasets}
{{- end }}
{{- end -}}

{{/* (list root name): the pods a name of the table stands for */}}
{{- define "corepoint.connections.pods" -}}
{{- $root := index . 0 -}}
{{- if eq (index . 1) "spark-worker" -}}
{{ include "corepoint.worker.selector" (list $root "worker" "spark") }}
{{- else -}}
{{ include "corepoint.selector" . }}
{{- end -}}
{{- end -}}

{{/* (list cidrs ports): an egress rule to addresses, which never include a cloud's metadata service */}}
{{- define "corepoint.connections.addresses" -}}
- to:
    {{- range index . 0 }}
    - ipBlock:
        cidr: {{ . | quote }}
        {{- if eq . "0.0.0.0/0" }}
        except: [169.254.169.254/32]
        {{- else if eq . "::/0" }}
        except: ["fd00:ec2::254/128"]
        {{- end }}
    {{- end }}
  ports:
    {{- range index . 1 }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}

{{/* (list root connection): the egress rule of a connection, if any */}}
{{- define "corepoint.connections.egress" -}}
{{- $root := index . 0 -}}
{{- $to := (index . 1).to -}}
{{- $policy := $root.Values.networkPolicy -}}
{{- if eq $to "kube-apiserver" -}}
{{ include "corepoint.connections.addresses" (list $policy.apiServer.cidrs $policy.apiServer.ports) }}
{{- else if eq $to "datasets" -}}
{{- with $policy.datasets.cidrs }}{{ include "corepoint.connections.addresses" (list . (list 80 443)) }}{{ end -}}
{{- else if eq $to "webhooks" -}}
{{- with $policy.webhooks.cidrs }}{{ include "corepoint.connections.addresses" (list . (list 80 443)) }}{{ end -}}
{{- else if and (has $to (list "postgres" "minio" "prefect" "mlflow")) (not (index $root.Values $to).enabled) -}}
{{- $external := (index $root.Values $to).external -}}
{{ include "corepoint.connections.addresses" (list $external.cidrs (list $external.port)) }}
{{- else -}}
- to:
    - podSelector:
        matchLabels: {{- include "corepoint.connections.pods" (list $root $to) | nindent 10 }}
  {{- with (index . 1).port }}
  ports: [{protocol: TCP, port: {{ . }}}]
  {{- end }}
{{- end -}}
{{- end -}}

{{/* (list root connection): the ingress rule of a connection, if any */}}
{{- define "corepoint.connections.ingress" -}}
{{- $root := index . 0 -}}
{{- $from := (index . 1).from -}}
{{- $rule := dict -}}
{{- if eq $from "scrapers" -}}
{{- $_ := set $rule "from" $root.Values.networkPolicy.scrapers -}}
{{- else if ne $from "anyone" -}}
{{- $_ := set $rule "from" (list (dict "podSelector" (dict "matchLabels" (include "corepoint.connections.pods" (list $root $from) | fromYaml)))) -}}
{{- end -}}
{{- with (index . 1).port -}}
{{- $_ := set $rule "ports" (list (dict "protocol" "TCP" "port" .)) -}}
{{- end -}}
{{- if or (ne $from "scrapers") $root.Values.networkPolicy.scrapers -}}
{{ list $rule | toYaml }}
{{- end -}}
{{- end -}}

{{/* (list root connections component end side): the rules of all connections whose `end` is the component */}}
{{- define "corepoint.connections.rules" -}}
{{- $arguments := . -}}
{{- $rules := list -}}
{{- range index . 1 -}}
{{- if eq (index . (index $arguments 3)) (index $arguments 2) -}}
{{- $rules = concat $rules (include (printf "corepoint.connections.%s" (index $arguments 4)) (list (index $arguments 0) .) | default "[]" | fromYamlArray) -}}
{{- end -}}
{{- end -}}
{{- toYaml ($rules | default list) -}}
{{- end -}}
