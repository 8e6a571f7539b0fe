// Package keyring keeps the keys that events are sealed under, in a database of
// its own, each wrapped by the key-encryption key.
//
//	identity's codec ──Make, Get──▶ keyring.keys      one for each person, one for each password
//	credentials      ──GetKeys RPC──▶
//	media            ──MakeKeys, GetKeys, DestroyKeys RPC──▶          one for each file
//	identity's app   ──Reservations, Fingerprints──▶ keyring.secrets   keys of keyed hashes
//
// A key belongs to the service that it was made for, and is destroyed by that
// one alone. A key that was destroyed keeps its row without the key: only that is a
// tombstone. Backups of the log hold nothing of this database, so that what is
// destroyed here is gone there too.
package keyring
