// Package upcast knows the shapes that events had before, and how to read them
// as today's. It stands beside the contract, since every service that reads a log
// needs it.
//
//	event of schema version 1 ──Step──▶ 2 ──Step──▶ … ──▶ the version in the proto   (in seal.Codec, before it is unmarshalled)
//
// A step sees the payload only, as the JSON object that the log holds. What is
// sealed was written as protobuf, by field number, and is opened after all
// steps: so the numbers of sensitive fields stay for ever, and those of fields
// that are not written any more stay, deprecated.
package upcast

// shape is a former shape of an event type.
type shape struct {
	eventType string
	version   int32
}

// Step gives the pure function that makes, of a payload in a schema version of an
// event type, the payload in the next one; nil where there is none. The function
// leaves its argument as it is. It gives an error for a payload that no program
// can have written.
func Step(eventType string, version int32) func(payload map[string]any) (map[string]any, error) {
	switch (shape{eventType, version}) {
	case shape{"muster.identity.events.v1.PasswordSet", 1}:
		return passwordSetWithKind
	}
	return nil
}
