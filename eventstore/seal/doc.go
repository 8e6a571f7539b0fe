// Package seal keeps personal data unreadable wherever an event goes: in the
// log, on the broker, in dead letters and in backups.
//
//	decided message ──Encode──▶ payload (clear, JSON) + sealed (AES-256-GCM)   → log, broker
//	recorded event  ──Decode──▶ message with all its fields, or a tombstone    → aggregate, projection
//
// Which fields are sealed stands in the proto, in the option
// muster.options.v1.sensitive; under whose key, in the option
// muster.options.v1.sealing_key of the message. Keys come from a Keys, in
// batches. A destroyed key is a tombstone; a key that nobody has heard of is a
// fault.
//
// A payload of a former schema version goes through upcasters before it is read.
// A sealed part does not need to: it is protobuf, by field numbers, which are
// never given to another field.
package seal
