package etcdstore

import (
	"github.com/rs/zerolog"
	"go.uber.org/zap/zapcore"
)

// harmless are errors that a member alone in its cluster reports in good health: at its
// first start, before it has a term, and as it closes listeners that it does not have.
var harmless = map[string]bool{
	"failed to update storage version":              true,
	"setting up serving from embedded etcd failed.": true,
}

// logCore passes what the embedded etcd logs on to our logger. etcd reports its daily
// work as information and warnings that call for no action: they become debug messages.
type logCore struct {
	logger zerolog.Logger
	fields []zapcore.Field
}

func (c *logCore) Enabled(level zapcore.Level) bool {
	return level >= zapcore.ErrorLevel || c.logger.GetLevel() <= zerolog.DebugLevel && level >= zapcore.InfoLevel
}

func (c *logCore) With(fields []zapcore.Field) zapcore.Core {
	return &logCore{logger: c.logger, fields: append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

func (c *logCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

func (c *logCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := zerolog.ErrorLevel
	if e.Level < zapcore.ErrorLevel || harmless[e.Message] {
		level = zerolog.DebugLevel
	}
	encoder := zapcore.NewMapObjectEncoder()
	for _, list := range [][]zapcore.Field{c.fields, fields} {
		for _, f := range list {
			f.AddTo(encoder)
		}
	}
	c.logger.WithLevel(level).Str("component", "etcd").Fields(encoder.Fields).Msg(e.Message)
	return nil
}

func (c *logCore) Sync() error { return nil }
