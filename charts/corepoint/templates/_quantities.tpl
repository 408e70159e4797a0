{{/* A memory quantity in bytes */}}
{{- define "corepoint.bytes" -}}
{{- $text := toString . -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$" $text) -}}
{{- fail (printf "%q is not an amount of memory; for example 512Mi or 4Gi" $text) -}}
{{- end -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $number := regexFind "^[0-9]+(\\.[0-9]+)?" $text -}}
{{- mulf (float64 $number) (index $units (trimPrefix $number $text)) | int64 -}}
{{- end -}}

{{/* Whole cores in a CPU quantity, at least one */}}
{{- define "corepoint.cores" -}}
{{- $text := toString . -}}
{{- $cores := ternary (divf (trimSuffix "m" $text | float64) 1000) (float64 $text) (hasSuffix "m" $text) -}}
{{- max 1 (floor $cores | int) -}}
{{- end -}}
