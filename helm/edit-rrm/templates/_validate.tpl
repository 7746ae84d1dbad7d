{{/* What no schema can say, in sentences that say what to change. */}}
{{- define "edit-rrm.validate" -}}
{{- $errors := list -}}
{{- $v := .Values -}}
{{- $api := .Capabilities.APIVersions -}}
{{- if and (eq $v.mode "gpu") (lt (int64 $v.gpu.count) 1) -}}
{{- $errors = append $errors "gpu.count is 0 and mode is gpu, whose image needs one: set gpu.count to 1 or more, or mode to cpu or gateway." -}}
{{- end -}}
{{- $external := or $v.redis.external.url $v.redis.external.existingSecret -}}
{{- if and $v.redis.enabled $external -}}
{{- $errors = append $errors "redis.enabled and redis.external are both set: set redis.enabled to false to use the external Redis, or clear redis.external.url and redis.external.existingSecret to use the chart's." -}}
{{- end -}}
{{- if and $v.redis.external.url $v.redis.external.existingSecret -}}
{{- $errors = append $errors "redis.external.url and redis.external.existingSecret are both set: clear one of them." -}}
{{- end -}}
{{- if contains "@" $v.redis.external.url -}}
{{- $errors = append $errors "redis.external.url has a password in it: put the whole URL into a Secret and name that in redis.external.existingSecret." -}}
{{- end -}}
{{- if and $v.auth.existingSecret $v.auth.keys -}}
{{- $errors = append $errors "auth.existingSecret and auth.keys are both set: keep the keys in one of them." -}}
{{- end -}}
{{- if and $v.auth.required (not (include "edit-rrm.keysSecret" .)) -}}
{{- $errors = append $errors "auth.required is true and there is no Secret with API keys: name one in auth.existingSecret, list hashes in auth.keys, or set auth.required to false to let in everybody whom the network policy lets in." -}}
{{- end -}}
{{- if eq $v.mode "gateway" -}}
{{- if not $v.gateway.baseUrls -}}
{{- $errors = append $errors "mode is gateway and gateway.baseUrls is empty: list the servers, such as http://judge-0.judging:8000/v1." -}}
{{- end -}}
{{- if ne $v.model.source "image" -}}
{{- $errors = append $errors (printf "model.source is %s and mode is gateway, which holds no weights: leave model.source at image, or set mode to gpu or cpu." $v.model.source) -}}
{{- end -}}
{{- else if $v.gateway.baseUrls -}}
{{- $errors = append $errors (printf "gateway.baseUrls is set and mode is %s: set mode to gateway, or clear gateway.baseUrls." $v.mode) -}}
{{- end -}}
{{- if and (not (kindIs "invalid" $v.model.card)) (eq $v.model.source "image") -}}
{{- $errors = append $errors "model.card is set and model.source is image, whose judge has its own card: set model.source to claim or download, or model.card to null." -}}
{{- end -}}
{{- if and (eq $v.model.source "claim") (not $v.model.claim.name) -}}
{{- $errors = append $errors "model.source is claim and model.claim.name is empty: name the PersistentVolumeClaim that holds the checkpoint." -}}
{{- end -}}
{{- if eq $v.model.source "download" -}}
{{- if not $v.model.download.repository -}}
{{- $errors = append $errors "model.source is download and model.download.repository is empty: name the repository, such as Qwen/Qwen2.5-VL-7B-Instruct." -}}
{{- end -}}
{{- if not (regexMatch "^[0-9a-f]{40}$" $v.model.download.revision) -}}
{{- $errors = append $errors "model.download.revision is not a commit: give its 40 hexadecimal digits, for a branch or tag may move and the judge with it." -}}
{{- end -}}
{{- $storage := $v.model.download.storage -}}
{{- $many := or (gt (int64 $v.replicas) 1) (and (ne $v.autoscaling.kind "none") (gt (int64 $v.autoscaling.maxReplicas) 1)) -}}
{{- if and $storage.persistent (not $storage.existingClaim) $many (not (has "ReadWriteMany" $storage.accessModes)) -}}
{{- $errors = append $errors "more than one replica shares the volume of downloads: set model.download.storage.accessModes to [ReadWriteMany], or persistent to false to have every pod download for itself." -}}
{{- end -}}
{{- end -}}
{{- if eq $v.autoscaling.kind "hpa" -}}
{{- $hpa := $v.autoscaling.hpa -}}
{{- if not (or $hpa.targetCPUUtilizationPercentage $hpa.metrics) -}}
{{- $errors = append $errors "autoscaling.kind is hpa and there is nothing to scale by: set autoscaling.hpa.targetCPUUtilizationPercentage (mode gateway) or autoscaling.hpa.metrics." -}}
{{- end -}}
{{- if and $hpa.targetCPUUtilizationPercentage (ne $v.mode "gateway") -}}
{{- $errors = append $errors (printf "autoscaling.hpa.targetCPUUtilizationPercentage is set and mode is %s, whose CPU use says nothing about the work that waits: set autoscaling.kind to keda, or give autoscaling.hpa.metrics." $v.mode) -}}
{{- end -}}
{{- end -}}
{{- if eq $v.autoscaling.kind "keda" -}}
{{- if not $v.autoscaling.keda.serverAddress -}}
{{- $errors = append $errors "autoscaling.kind is keda and autoscaling.keda.serverAddress is empty: give the address of the Prometheus that scrapes the service." -}}
{{- end -}}
{{- if not ($api.Has "keda.sh/v1alpha1") -}}
{{- $errors = append $errors "autoscaling.kind is keda and the cluster has no keda.sh/v1alpha1: install KEDA, or give `helm template` --api-versions keda.sh/v1alpha1 where it has." -}}
{{- end -}}
{{- end -}}
{{- if ne $v.autoscaling.kind "none" -}}
{{- if gt (int64 $v.autoscaling.minReplicas) (int64 $v.autoscaling.maxReplicas) -}}
{{- $errors = append $errors "autoscaling.minReplicas is more than autoscaling.maxReplicas: raise the latter." -}}
{{- end -}}
{{- if le (int64 (include "edit-rrm.scaleDown" .)) (int64 $v.probes.loadSeconds) -}}
{{- $errors = append $errors "autoscaling.scaleDownSeconds is not longer than probes.loadSeconds, so that replicas would go while others load: raise the former, or lower the latter to what loading takes." -}}
{{- end -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not ($api.Has "gateway.networking.k8s.io/v1")) -}}
{{- $errors = append $errors "httpRoute.enabled is true and the cluster has no gateway.networking.k8s.io/v1: install the Gateway API, or give `helm template` --api-versions gateway.networking.k8s.io/v1 where it has." -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- $errors = append $errors "httpRoute.enabled is true and httpRoute.parentRefs is empty: name the Gateway to attach to." -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) -}}
{{- $errors = append $errors "ingress.enabled is true and ingress.hosts is empty: name a host." -}}
{{- end -}}
{{- $open := or (not $v.networkPolicy.enabled) $v.networkPolicy.allowExternal -}}
{{- if and (or $v.ingress.enabled $v.httpRoute.enabled) (not (or $open $v.networkPolicy.ingressNamespace $v.networkPolicy.clients)) -}}
{{- $errors = append $errors "ingress or httpRoute is enabled and the network policy keeps its controller out: set networkPolicy.ingressNamespace to the controller's namespace." -}}
{{- end -}}
{{- if and (ne $v.service.type "ClusterIP") (not (or $open $v.networkPolicy.clients)) -}}
{{- $errors = append $errors (printf "service.type is %s and the network policy lets nobody in from outside: list addresses in networkPolicy.clients (ipBlock), or set networkPolicy.allowExternal to true." $v.service.type) -}}
{{- end -}}
{{- if and $v.settings.metricsNeedKey $v.monitoring.enabled -}}
{{- $errors = append $errors "settings.metricsNeedKey is true, which leaves no metrics at the probes' port for a monitor: leave it out, as the network policy lets only networkPolicy.monitoringNamespace reach that port, or set monitoring.enabled to false." -}}
{{- end -}}
{{- $several := or (gt (int64 $v.replicas) 1) (and (ne $v.autoscaling.kind "none") (gt (int64 $v.autoscaling.maxReplicas) 1)) -}}
{{- if and $v.ui.enabled $several (not $v.ui.sticky) -}}
{{- $errors = append $errors "ui.enabled is true and there may be several replicas, between which a browser's page would be lost: have your ingress keep a browser on one pod and set ui.sticky to true, or serve the page from a release of its own with one replica (mode gateway)." -}}
{{- end -}}
{{- if eq (int64 $v.probes.port) 8000 -}}
{{- $errors = append $errors "probes.port is 8000, the API's: give probes a port of their own, such as 8001." -}}
{{- end -}}
{{- $surge := include "edit-rrm.maxSurge" . -}}
{{- $unavailable := include "edit-rrm.maxUnavailable" . -}}
{{- if and (has $surge (list "0" "0%")) (has $unavailable (list "0" "0%")) -}}
{{- $errors = append $errors "rollout.maxSurge and rollout.maxUnavailable are both 0, so that no update can begin: raise one of them." -}}
{{- end -}}
{{- if $errors -}}
{{- fail (printf "\n%s" (join "\n" $errors)) -}}
{{- end -}}
{{- end -}}

{{- define "edit-rrm.maxSurge" -}}
{{- if not (kindIs "invalid" .Values.rollout.maxSurge) }}{{ include "edit-rrm.scalar" .Values.rollout.maxSurge }}{{ else if eq .Values.mode "gpu" }}0{{ else }}1{{ end -}}
{{- end -}}

{{- define "edit-rrm.maxUnavailable" -}}
{{- if not (kindIs "invalid" .Values.rollout.maxUnavailable) }}{{ include "edit-rrm.scalar" .Values.rollout.maxUnavailable }}{{ else if eq .Values.mode "gpu" }}1{{ else }}0{{ end -}}
{{- end -}}
