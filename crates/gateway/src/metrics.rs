//! What `/_ringfence/metrics` tells, in Prometheus's text format. Labels name services, operations
//! and outcomes, and never a caller.

use crate::route::Route;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};
use ringfence_wire::ServiceError;
use std::time::Duration;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// The counters of a server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    pub unroutable: IntCounter,
    pub unrecorded: IntCounter,
    pub connections: IntGauge,
}

impl Metrics {
    /// # Errors
    /// When two metrics have one name, which a test excludes.
    pub fn new() -> prometheus::Result<Self> {
        let labels = &["service", "operation", "outcome"];
        let requests = Opts::new("ringfence_requests_total", "Calls answered.");
        let seconds = HistogramOpts::new(
            "ringfence_request_seconds",
            "Time from a call's last byte to its answer.",
        );
        let metrics = Self {
            registry: Registry::new(),
            requests: IntCounterVec::new(requests, labels)?,
            seconds: HistogramVec::new(seconds.buckets(BUCKETS.to_vec()), &labels[..1])?,
            unroutable: IntCounter::new(
                "ringfence_unroutable_total",
                "Requests that named no service of this server, or were too large or too slow.",
            )?,
            unrecorded: IntCounter::new(
                "ringfence_audit_refused_total",
                "Calls refused or failed because their audit event could not be written.",
            )?,
            connections: IntGauge::new("ringfence_connections", "Open connections.")?,
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.unroutable.clone()))?;
        metrics.registry.register(Box::new(metrics.unrecorded.clone()))?;
        metrics.registry.register(Box::new(metrics.connections.clone()))?;
        Ok(metrics)
    }

    /// Counts an answered call. A name that no model knows is counted as `unknown`: callers do not
    /// choose how many series there are.
    pub fn count(&self, route: &Route<'_>, error: Option<&ServiceError>, took: Duration) {
        let operation = route.operation.as_ref().map_or("unknown", |operation| operation.name);
        let outcome = match error.map(|error| error.status) {
            None => "success",
            Some(403) => "denied",
            Some(501) => "not_implemented",
            Some(500..) => "failed",
            Some(_) => "refused",
        };
        let service = route.service().signing_name;
        self.requests.with_label_values(&[service, operation, outcome]).inc();
        self.seconds.with_label_values(&[service]).observe(took.as_secs_f64());
    }

    /// Everything as text.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "the metrics do not encode");
        }
        String::from_utf8(out).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_name_of_its_own() {
        assert!(Metrics::new().unwrap().text().contains("ringfence_connections 0"));
    }
}
