// A ServiceMonitor from stdin, by the schemas that others made from the Prometheus operator's definitions.
import { readFileSync } from "node:fs";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const monitor = JSON.parse(readFileSync(0, "utf8"));
new ServiceMonitor(monitor).validate();
