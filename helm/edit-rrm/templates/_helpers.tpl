{{- define "edit-rrm.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for what is appended to it. */}}
{{- define "edit-rrm.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "edit-rrm.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "edit-rrm.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "edit-rrm.selectorLabels" -}}
app.kubernetes.io/name: {{ include "edit-rrm.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "edit-rrm.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "edit-rrm.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of pods: without the chart's version, so that a new chart alone loads no judge again. */}}
{{- define "edit-rrm.podLabels" -}}
{{ include "edit-rrm.selectorLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "edit-rrm.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "edit-rrm.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Reference of an image; `tag` is what its own values leave open. */}}
{{- define "edit-rrm.imageOf" -}}
{{- $name := .image.repository -}}
{{- with .image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "edit-rrm.image" -}}
{{- $tag := .Chart.AppVersion -}}
{{- if ne .Values.mode "gpu" }}{{ $tag = printf "%s-cpu" $tag }}{{ end -}}
{{- include "edit-rrm.imageOf" (dict "image" .Values.image "tag" $tag) -}}
{{- end -}}

{{- define "edit-rrm.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.runAsUser }}
runAsGroup: {{ int64 .Values.runAsUser }}
fsGroup: {{ int64 .Values.runAsUser }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "edit-rrm.securityContext" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: {{ int64 .Values.runAsUser }}
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Numbers of values are floats, and large ones print as 2e+06. */}}
{{- define "edit-rrm.scalar" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "slice" . -}}
{{- join "," . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- define "edit-rrm.checkpoint" -}}
{{- if eq .Values.model.source "claim" -}}
{{- printf "/models/%s" (trimAll "/" .Values.model.claim.path) | trimSuffix "/" -}}
{{- else if eq .Values.model.source "download" -}}
{{- printf "/models/%s/%s" .Values.model.download.repository .Values.model.download.revision -}}
{{- end -}}
{{- end -}}

{{- define "edit-rrm.hasCard" -}}
{{- if and (ne .Values.mode "gateway") (ne .Values.model.source "image") (not (kindIs "invalid" .Values.model.card)) }}true{{ end -}}
{{- end -}}

{{- define "edit-rrm.downloads" -}}
{{- if and (ne .Values.mode "gateway") (eq .Values.model.source "download") }}true{{ end -}}
{{- end -}}

{{- define "edit-rrm.modelClaim" -}}
{{- if eq .Values.model.source "claim" -}}
{{- .Values.model.claim.name -}}
{{- else -}}
{{- default (printf "%s-models" (include "edit-rrm.fullname" .)) .Values.model.download.storage.existingClaim -}}
{{- end -}}
{{- end -}}

{{/* Environment of the service, one variable a line; also what its pods are rolled by. */}}
{{- define "edit-rrm.settings" -}}
{{- $settings := dict
  "EDIT_RRM_HOST" "0.0.0.0"
  "EDIT_RRM_PORT" "8000"
  "EDIT_RRM_PROBE_PORT" (include "edit-rrm.scalar" .Values.probes.port)
  "EDIT_RRM_DRAIN_DELAY_MS" (include "edit-rrm.scalar" (mulf .Values.drain.delaySeconds 1000))
  "EDIT_RRM_DRAIN_TIMEOUT_MS" (include "edit-rrm.scalar" (mulf .Values.drain.timeoutSeconds 1000))
-}}
{{- if eq .Values.mode "gateway" -}}
{{- $_ := set $settings "EDIT_RRM_ENGINE" "openai" -}}
{{- $_ := set $settings "EDIT_RRM_BASE_URLS" (join "," .Values.gateway.baseUrls) -}}
{{- with .Values.gateway.model }}{{ $_ := set $settings "EDIT_RRM_MODEL" . }}{{ end -}}
{{- else -}}
{{- $_ := set $settings "EDIT_RRM_ENGINE" .Values.engine -}}
{{- if include "edit-rrm.hasCard" . -}}
{{- $_ := set $settings "EDIT_RRM_MODEL" "/judge" -}}
{{- else if include "edit-rrm.checkpoint" . -}}
{{- $_ := set $settings "EDIT_RRM_MODEL" (include "edit-rrm.checkpoint" .) -}}
{{- end -}}
{{- if eq .Values.mode "gpu" -}}
{{- $_ := set $settings "EDIT_RRM_TENSOR_PARALLEL_SIZE" (include "edit-rrm.scalar" .Values.gpu.count) -}}
{{- end -}}
{{- end -}}
{{- if include "edit-rrm.keysSecret" . -}}
{{- $_ := set $settings "EDIT_RRM_API_KEYS_FILE" (printf "/etc/edit-rrm/keys/%s" (include "edit-rrm.keysFile" .)) -}}
{{- end -}}
{{- with .Values.redis.external.url }}{{ $_ := set $settings "EDIT_RRM_REDIS_URL" . }}{{ end -}}
{{- if .Values.sentinels.existingConfigMap -}}
{{- $_ := set $settings "EDIT_RRM_SENTINELS_FOLDER" "/etc/edit-rrm/sentinels" -}}
{{- end -}}
{{- if .Values.ui.enabled -}}
{{- $_ := set $settings "EDIT_RRM_UI" "true" -}}
{{- with .Values.ui.runs }}{{ $_ := set $settings "EDIT_RRM_UI_RUNS" . }}{{ end -}}
{{- with .Values.ui.judges }}{{ $_ := set $settings "EDIT_RRM_UI_JUDGES" (join "," .) }}{{ end -}}
{{- end -}}
{{- range $name, $value := .Values.settings -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $settings (printf "EDIT_RRM_%s" (snakecase $name | upper)) (include "edit-rrm.scalar" $value) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $settings }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "edit-rrm.keysSecret" -}}
{{- if .Values.auth.existingSecret -}}
{{- .Values.auth.existingSecret -}}
{{- else if .Values.auth.keys -}}
{{- printf "%s-keys" (include "edit-rrm.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "edit-rrm.keysFile" -}}
{{- if .Values.auth.existingSecret }}{{ .Values.auth.existingSecretKey }}{{ else }}keys.toml{{ end -}}
{{- end -}}

{{/* The keys file. TOML's numbers are JSON's. */}}
{{- define "edit-rrm.keysToml" -}}
{{- range $name, $key := .Values.auth.keys }}
[keys.{{ $name | toJson }}]
sha256 = {{ $key.sha256 | quote }}
{{- with $key.priority }}
priority = {{ . | quote }}
{{- end }}
{{- with $key.weight }}
weight = {{ include "edit-rrm.scalar" . }}
{{- end }}
{{- with $key.requestsPerMinute }}
requests_per_minute = {{ include "edit-rrm.scalar" . }}
{{- end }}
{{- with $key.maxConcurrent }}
max_concurrent = {{ include "edit-rrm.scalar" . }}
{{- end }}
{{ end }}
{{- end -}}

{{- define "edit-rrm.redisName" -}}
{{- printf "%s-redis" (include "edit-rrm.fullname" .) -}}
{{- end -}}

{{- define "edit-rrm.redisSecret" -}}
{{- default (include "edit-rrm.redisName" .) .Values.redis.auth.existingSecret -}}
{{- end -}}

{{- define "edit-rrm.redisKey" -}}
{{- if .Values.redis.auth.existingSecret }}{{ .Values.redis.auth.key }}{{ else }}redis-password{{ end -}}
{{- end -}}

{{- define "edit-rrm.gracePeriod" -}}
{{- addf .Values.drain.preStopSeconds .Values.drain.delaySeconds .Values.drain.timeoutSeconds .Values.drain.exitSeconds | ceil | int64 -}}
{{- end -}}

{{/* A rollout has failed when one pod takes longer than a download, a load and two minutes to be scheduled. */}}
{{- define "edit-rrm.progressDeadline" -}}
{{- $seconds := addf .Values.probes.loadSeconds 120 -}}
{{- if include "edit-rrm.downloads" . }}{{ $seconds = addf $seconds .Values.model.download.seconds }}{{ end -}}
{{- $seconds | ceil | int64 -}}
{{- end -}}

{{- define "edit-rrm.scaleDown" -}}
{{- if kindIs "invalid" .Values.autoscaling.scaleDownSeconds -}}
{{- min 3600 (int64 (mulf .Values.probes.loadSeconds 2)) -}}
{{- else -}}
{{- int64 .Values.autoscaling.scaleDownSeconds -}}
{{- end -}}
{{- end -}}

{{/* The kubelet asks /startupz this often until the judge may have been loaded. */}}
{{- define "edit-rrm.startupFailures" -}}
{{- divf .Values.probes.loadSeconds .Values.probes.periodSeconds | ceil | int64 -}}
{{- end -}}

{{/* How the autoscalers move: up by what is needed, down one pod at a time and late, for a judge takes minutes to come back. */}}
{{- define "edit-rrm.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - {type: Percent, value: 100, periodSeconds: 60}
    - {type: Pods, value: 2, periodSeconds: 60}
  selectPolicy: Max
scaleDown:
  stabilizationWindowSeconds: {{ include "edit-rrm.scaleDown" . }}
  policies:
    - {type: Pods, value: 1, periodSeconds: 300}
{{- end -}}

{{/* Series of this release's pods, whatever scraped them. */}}
{{- define "edit-rrm.series" -}}
{{- printf "namespace=%q,pod=~%q" .Release.Namespace (printf "%s-[a-z0-9]+-[a-z0-9]+" (include "edit-rrm.fullname" .)) -}}
{{- end -}}

{{/* Port of a URL, which its scheme implies where it has none. */}}
{{- define "edit-rrm.urlPort" -}}
{{- $url := urlParse . -}}
{{- if regexMatch ":[0-9]+$" $url.host -}}
{{- regexFind "[0-9]+$" $url.host -}}
{{- else if eq $url.scheme "https" -}}
443
{{- else if hasPrefix "redis" $url.scheme -}}
6379
{{- else -}}
80
{{- end -}}
{{- end -}}
