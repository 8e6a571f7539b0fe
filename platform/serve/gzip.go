package serve

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"
)

// packing replaces Connect's own gzip. A message that unpacks to more than
// maxBytes is given up as soon as it does.
func packing(maxBytes int) connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &boundedGzip{limit: maxBytes} },
		func() connect.Compressor { return gzip.NewWriter(io.Discard) },
	)
}

var errTooLarge = errors.New("the body unpacks to more than the limit")

// boundedGzip unpacks at most limit bytes. Connect bounds what it keeps but
// goes on unpacking the rest to throw it away: a mebibyte of zeros costs it a
// gibibyte of work.
type boundedGzip struct {
	in    gzip.Reader
	limit int
	left  int
}

var _ connect.Decompressor = (*boundedGzip)(nil)

// Read unpacks.
func (b *boundedGzip) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1] // one byte over the limit tells that there is more
	}
	n, err := b.in.Read(p)
	b.left -= n
	if b.left < 0 {
		b.left = 0
		// With the code that Connect itself gives to large bodies, so that both
		// are answered alike.
		return n, connect.NewError(connect.CodeResourceExhausted, errTooLarge)
	}
	return n, err
}

// Reset starts a new body.
func (b *boundedGzip) Reset(r io.Reader) error {
	b.left = b.limit
	if err := b.in.Reset(r); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

// Close ends a body.
func (b *boundedGzip) Close() error { return b.in.Close() }
