package picture

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"io"
)

const (
	maxBytes  = 5 << 20
	maxPixels = 25_000_000
	maxSide   = 20_000
	// working is what is allocated beside the decoded picture: the reduced and
	// the scaled one, the scaler's own, a strip of rows, and the JPEG.
	working = 20 << 20
	// piece is how many bytes a decoder gets at once, and so how often it notices
	// that its context has ended.
	piece = 1 << 10
)

// plan is what a picture's headers tell before anything is decoded.
type plan struct {
	// width and height of the whole picture, as it is stored.
	width, height int
	// at is where the decoded frame lies in it.
	at          image.Point
	orientation orientation
	// memory is what making the avatar allocates at most, in bytes.
	memory int64
	decode func(context.Context) (image.Image, error)
}

// inspect tells the kind by the first bytes and reads the headers. Its errors
// are ErrNotAPicture and ErrTooLarge.
func inspect(raw []byte) (plan, error) {
	if len(raw) > maxBytes {
		return plan{}, fmt.Errorf("%w: it has %d bytes", ErrTooLarge, len(raw))
	}
	var read func([]byte) (plan, error)
	switch {
	case bytes.HasPrefix(raw, []byte("\xff\xd8\xff")):
		read = inspectJPEG
	case bytes.HasPrefix(raw, []byte("\x89PNG\r\n\x1a\n")):
		read = inspectPNG
	case bytes.HasPrefix(raw, []byte("GIF87a")), bytes.HasPrefix(raw, []byte("GIF89a")):
		read = inspectGIF
	case len(raw) >= 12 && string(raw[:4]) == "RIFF" && string(raw[8:12]) == "WEBP":
		read = inspectWebP
	default:
		return plan{}, fmt.Errorf("%w: it begins like none", ErrNotAPicture)
	}
	found, err := read(raw)
	if err != nil {
		return plan{}, fmt.Errorf("%w: %w", ErrNotAPicture, err)
	}
	switch {
	case found.width < 1 || found.height < 1:
		return plan{}, fmt.Errorf("%w: it has no pixels", ErrNotAPicture)
	case found.width > maxSide || found.height > maxSide || found.width*found.height > maxPixels:
		return plan{}, fmt.Errorf("%w: it has %d × %d pixels", ErrTooLarge, found.width, found.height)
	}
	found.memory += working + int64(len(raw))
	return found, nil
}

// decoder is a decoder's Decode.
type decoder func(io.Reader) (image.Image, error)

// of decodes data in pieces, until the context ends.
func (d decoder) of(data []byte) func(context.Context) (image.Image, error) {
	return func(ctx context.Context) (image.Image, error) {
		return d(&pieces{context: ctx, rest: data})
	}
}

// pieces reads data until its context ends: no decoder takes one.
type pieces struct {
	context context.Context //nolint:containedctx // it lives as long as one call
	rest    []byte
}

var _ io.Reader = (*pieces)(nil)

// Read gives the next piece.
func (p *pieces) Read(to []byte) (int, error) {
	if err := p.context.Err(); err != nil {
		return 0, err
	}
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(to[:min(len(to), piece)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
