// Package otlp reads OpenTelemetry metrics, so that a service that has them needs no other
// call: of the metrics that rollouts watch, the data points whose attributes say which
// variant of which flag was served.
//
//	feature_flag.key                    the flag; points without it are somebody else's
//	feature_flag.result.variant         the variant; feature_flag.variant in older versions
//	error.type, outcome                 whether it happened, see below
//
// A point names no subject: each thing that it counts counts by itself, and so its metric is
// for rollouts whose unit is the request, or for events that are independent of each other.
//
// What a metric is counted as depends on what is watched of it (Guardrail.metric is its name):
//
//	RATE             of a monotonic sum, or of a histogram's count: it happened that often,
//	                 where error.type is not empty, or outcome is none of 'success',
//	                 'redirection', 'informational'; it did not, where outcome is one of these.
//	                 Without either: of a sum it happened, unless events are a share of the
//	                 observations; of a histogram it did not.
//	MEAN, QUANTILE   of a histogram or an exponential one: its values, as far as its buckets
//	                 tell them apart; of a gauge, or a sum that is not monotonic: one value a
//	                 point.
//
// Values in units of time are taken in seconds.
//
// Points are best of delta temporality. Of cumulative ones the differences are counted, by
// stream: the host that sends, its resource, the metric, the attributes and the start time.
// Of a source that was not heard of before, a stream's first point is where counting begins;
// later on, a stream that is new counts from zero. Processes that share a host must differ in
// their resources (service.instance.id). The OTLP protocol does not number what it sends: what
// an exporter sends twice counts twice, if it is of delta temporality.
package otlp
