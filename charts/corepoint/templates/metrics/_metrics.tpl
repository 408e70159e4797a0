{{/* Certificate and key of the metrics Service, and the authority that the API server checks them by */}}
{{- define "corepoint.metrics.tls" -}}
{{- if not (hasKey .Values "_tls") -}}
{{- $host := include "corepoint.host" (list . "metrics") -}}
{{- $there := (lookup "v1" "Secret" .Release.Namespace (printf "%s-tls" $host)).data -}}
{{- if $there -}}
{{- $_ := set .Values "_tls" (pick $there "ca.crt" "tls.crt" "tls.key") -}}
{{- else -}}
{{- $authority := genCA (printf "%s-ca" $host) 3650 -}}
{{- $names := list (printf "%s.%s.svc" $host .Release.Namespace) (printf "%s.%s" $host .Release.Namespace) $host -}}
{{- $made := genSignedCert (first $names) nil $names 3650 $authority -}}
{{- $_ := set .Values "_tls" (dict "ca.crt" (b64enc $authority.Cert) "tls.crt" (b64enc $made.Cert) "tls.key" (b64enc $made.Key)) -}}
{{- end -}}
{{- end -}}
{{- toYaml .Values._tls -}}
{{- end -}}

{{- define "corepoint.checksum.tls" -}}
{{ include "corepoint.metrics.tls" . | sha256sum }}
{{- end -}}

{{- define "corepoint.metrics.builtin" -}}
{{- if eq .Values.autoscaling.source "builtin" }}true{{ end -}}
{{- end -}}
