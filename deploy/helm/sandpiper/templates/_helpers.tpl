{{- define "sandpiper.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "sandpiper.selector" -}}
app.kubernetes.io/name: sandpiper
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sandpiper.labels" -}}
{{ include "sandpiper.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
