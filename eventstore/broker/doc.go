// Package broker carries events over RabbitMQ: the fast way from the log to the
// projections, never the only one. What is lost here is read from the log.
//
//	forwarder ──PublishBatch──▶ exchange muster.events (topic)
//	                                │ identity.user.*          no queue bound: *UnroutableError
//	                                ▼
//	                   quorum queue, one per projection ──Nack, or delivery limit──▶ muster.dead ─▶ <queue>.dead
//	                                │ one active consumer
//	                                ▼
//	                   Subscriber ──▶ projection, which acks after its commit
//
// The shapes are Watermill's: message.Publisher, message.Subscriber,
// and of watermill-amqp the marshaler and the topology builder. Three things are
// our own, each for a reason that was measured:
//
//   - the connection: watermill-amqp's cannot start without a broker, and its
//     fields race with its reconnect;
//   - publishing: its publisher awaits confirms one by one, with no time-out;
//   - consuming: its subscriber acknowledges one by one, and its marshaler fails
//     on a redelivered message of a quorum queue, which then spins.
//
// A queue that RabbitMQ has lost, declared and yet without a leader, confirms
// nothing and so holds up every event that it wants. Its subscriber deletes it and
// makes it again.
//
// Delivery is at least once. First deliveries of a stream come in its order:
// one publisher sends a page again from its beginning or not at all, and one
// consumer at a time is active.
package broker
