package actors

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// tracer is the one that spans come from.
func (c Config) tracer() trace.Tracer {
	provider := c.TracerProvider
	if provider == nil {
		provider = noop.NewTracerProvider()
	}
	return provider.Tracer("github.com/gabiondb/gabion/actors")
}

// span is one piece of work in a trace.
type span struct{ trace.Span }

func (t *tree) span(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, span) {
	ctx, s := t.tracer.Start(ctx, name, trace.WithAttributes(attributes...))
	return ctx, span{s}
}

// end ends the span; an error is its status.
func (s span) end(err error) {
	if err != nil {
		s.SetStatus(codes.Error, err.Error())
	}
	s.End()
}

func tableAttribute(table string) attribute.KeyValue { return attribute.String("gabion.table", table) }
