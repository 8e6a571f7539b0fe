// Package site serves what is not an RPC on the public port: the index, whether
// the process lives and its parts answer, the public keys of access tokens, and
// the headers that keep answers out of caches, frames and sniffers.
package site
