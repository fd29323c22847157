package ofprovider

import (
	"context"
	"reflect"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/tidegate/tidegate/clientsdk"
)

// Attributes of tracking details that are read.
const (
	happenedAttribute = "happened"
	durationAttribute = "duration"
	flagKeyAttribute  = "flagKey"
)

// Track hands an event to the client as an observation; see the package.
func (p *Provider) Track(ctx context.Context, name string, ec openfeature.EvaluationContext, details openfeature.TrackingEventDetails) {
	var options []clientsdk.TrackOption
	if key, ok := details.Attribute(flagKeyAttribute).(string); ok {
		options = append(options, clientsdk.ForFlag(key))
	}
	p.client.Track(ctx, name, clientsdk.NewContext(ec.TargetingKey(), ec.Attributes()), observation(details), options...)
}

func observation(details openfeature.TrackingEventDetails) clientsdk.Observation {
	if happened, ok := details.Attribute(happenedAttribute).(bool); ok {
		return clientsdk.ObservedEvent(happened)
	}
	if d, ok := details.Attribute(durationAttribute).(time.Duration); ok {
		return clientsdk.ObservedDuration(d)
	}
	if reflect.DeepEqual(details, openfeature.TrackingEventDetails{}) { // a value of 0 is one, too
		return clientsdk.ObservedEvent(true)
	}
	return clientsdk.ObservedValue(details.Value())
}
