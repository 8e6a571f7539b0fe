// Package rpc is media's Connect edge: it converts, and it maps errors. Who may
// call was decided before, by the access gate; whose file it is, the domain decides.
package rpc
