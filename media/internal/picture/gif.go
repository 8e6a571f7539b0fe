package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
)

// Blocks of GIF89a, sections 18 to 27.
const (
	gifExtension = 0x21
	gifImage     = 0x2c
	gifTrailer   = 0x3b
	// gifTable says in a descriptor that a colour table follows; its low bits how
	// long that is.
	gifTable     = 0x80
	gifTableSize = 0x07
	gifInterlace = 0x40
)

// inspectGIF walks the blocks up to the trailer. Frames after the first are
// passed over, never decoded: ten thousand of them cost as many steps.
func inspectGIF(raw []byte) (plan, error) {
	const screen = 13
	if len(raw) < screen {
		return plan{}, errCut
	}
	result := plan{
		width:       int(binary.LittleEndian.Uint16(raw[6:])),
		height:      int(binary.LittleEndian.Uint16(raw[8:])),
		orientation: upright,
		decode:      decoder(gif.Decode).of(raw), // the first frame alone
	}
	in := &blocks{rest: raw[screen:]}
	in.colours(raw[10])
	framed := false
	for in.err == nil {
		switch kind := in.take(1)[0]; kind {
		case gifExtension:
			in.take(1)
			in.subBlocks()
		case gifImage:
			descriptor := in.take(9)
			if !framed {
				framed = true
				frame := descriptorBounds(descriptor)
				if frame.Empty() || frame.Max.X > result.width || frame.Max.Y > result.height {
					return plan{}, errors.New("its first frame is empty or beyond the picture")
				}
				result.at = frame.Min
				pixels := int64(frame.Dx()) * int64(frame.Dy())
				if result.memory = pixels; descriptor[8]&gifInterlace != 0 {
					result.memory *= 2
				}
			}
			in.colours(descriptor[8])
			in.take(1)
			in.subBlocks()
		case gifTrailer:
			if in.err != nil {
				break
			}
			if !framed {
				return plan{}, errNoFrame
			}
			return result, nil
		default:
			if in.err == nil {
				in.err = fmt.Errorf("it has a block of the unknown kind 0x%02x", kind)
			}
		}
	}
	return plan{}, in.err
}

// descriptorBounds is where a frame lies.
func descriptorBounds(descriptor []byte) image.Rectangle {
	at := func(i int) int { return int(binary.LittleEndian.Uint16(descriptor[i:])) }
	return image.Rect(at(0), at(2), at(0)+at(4), at(2)+at(6))
}

// blocks reads blocks; after its end it gives zeros and has an error.
type blocks struct {
	rest []byte
	err  error
}

func (b *blocks) take(n int) []byte {
	if b.err != nil || n > len(b.rest) {
		b.err = errCut
		return make([]byte, n)
	}
	taken := b.rest[:n]
	b.rest = b.rest[n:]
	return taken
}

func (b *blocks) colours(flags byte) {
	if flags&gifTable != 0 {
		b.take(3 << (1 + flags&gifTableSize))
	}
}

func (b *blocks) subBlocks() {
	for b.err == nil {
		length := b.take(1)[0]
		if length == 0 {
			return
		}
		b.take(int(length))
	}
}
