{{- define "corepoint.env.prefect-server" -}}
{{ include "corepoint.env.url" (list . "PREFECT_API_DATABASE_CONNECTION_URL" "prefect" "postgresql+asyncpg") }}
{{ include "corepoint.env.secret" (list "PREFECT_SERVER_API_AUTH_STRING" (include "corepoint.secrets.name" .) "prefect-auth-string") }}
# Its own services ask its API as any client does.
{{ include "corepoint.env.prefect" . }}
- {name: PREFECT_SERVER_UI_API_URL, value: {{ .Values.prefect.uiApiUrl | quote }}}
- {name: PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT, value: "false"}
# The root file system is read-only: the user interface is copied to where it can be written.
- {name: PREFECT_SERVER_UI_STATIC_DIRECTORY, value: /tmp/prefect-ui}
- {name: PREFECT_HOME, value: /tmp/prefect}
- {name: HOME, value: /tmp}
# Our database is the record; Prefect's grows with every flow run.
- {name: PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED, value: "events,flow_runs"}
- {name: PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD, value: {{ mul .Values.prefect.retentionDays 86400 | quote }}}
- {name: PREFECT_SERVER_EVENTS_RETENTION_PERIOD, value: "P{{ min 7 .Values.prefect.retentionDays }}D"}
# How far it plans ahead of a schedule: by default 3 flow runs and an hour, which 1,000 experiments multiply, and which
# each change of a schedule deletes. Ten minutes outlast a loop of its scheduler (60 s) many times; the dispatcher finds
# a time that was not planned. 12 are enough for the shortest interval of a minute.
- {name: PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS, value: "2"}
- {name: PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS, value: "12"}
- {name: PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME, value: "PT10M"}
- {name: PREFECT_SERVER_ANALYTICS_ENABLED, value: "false"}
- {name: DO_NOT_TRACK, value: "1"}
- {name: PREFECT_CLI_COLORS, value: "false"}
- {name: PREFECT_SERVER_LOGGING_LEVEL, value: {{ .Values.prefect.loggingLevel }}}
{{- end -}}
