package picture

import (
	"context"
	"encoding/binary"
	"errors"
	"image"

	"golang.org/x/image/webp"
)

// Flags of the chunk VP8X (RFC 9649, section 2.7.1).
const (
	webpAnimated = 1 << 1
	webpAlpha    = 1 << 4
	webpExtended = 10
	webpFrame    = 16
)

// inspectWebP walks the chunks (RFC 9649, section 2) and picks what makes up the
// still picture, or an animation's first frame. What is decoded is put together
// anew from these, so that the sizes that were checked are the ones that count,
// and chunks that the decoder does not know do no harm.
func inspectWebP(raw []byte) (plan, error) {
	size := binary.LittleEndian.Uint32(raw[4:])
	if size < 4 || int64(size) > int64(len(raw)-8) {
		return plan{}, errCut
	}
	all := chunks(raw[12 : 8+size])
	if err := all.whole(); err != nil {
		return plan{}, err
	}
	result := plan{orientation: upright}
	still, animated := all, false
	header, extended := all.find("VP8X")
	if extended {
		if len(header) < webpExtended {
			return plan{}, errCut
		}
		result.width, result.height = 1+uint24(header[4:]), 1+uint24(header[7:])
		if animated = header[0]&webpAnimated != 0; animated {
			frame, ok := all.find("ANMF")
			if !ok || len(frame) < webpFrame {
				return plan{}, errNoFrame
			}
			result.at = image.Pt(2*uint24(frame), 2*uint24(frame[3:]))
			still = frame[webpFrame:]
			if err := still.whole(); err != nil {
				return plan{}, err
			}
		}
		if exif, ok := all.find("EXIF"); ok {
			result.orientation = orientationOf(exif)
		}
	}
	picture, err := webpPicture(still)
	if err != nil {
		return plan{}, err
	}
	if !animated {
		// Which of two sizes another program would show, nobody knows.
		if extended && (result.width != picture.width || result.height != picture.height) {
			return plan{}, errors.New("its two headers differ")
		}
		result.width, result.height = picture.width, picture.height
	}
	if result.at.X+picture.width > result.width || result.at.Y+picture.height > result.height {
		return plan{}, errors.New("its frame lies beyond the picture")
	}
	result.memory = picture.memory()
	result.decode = func(ctx context.Context) (image.Image, error) {
		return decoder(webp.Decode).of(picture.file())(ctx)
	}
	return result, nil
}

// webpStill is one picture of a WebP file.
type webpStill struct {
	width, height int
	// kind of data: `VP8 ` or `VP8L`.
	kind string
	data []byte
	// alpha belongs to VP8 only; nil where there is none.
	alpha []byte
}

func webpPicture(parts chunks) (webpStill, error) {
	if data, ok := parts.find("VP8L"); ok {
		if len(data) < 5 || data[0] != 0x2f {
			return webpStill{}, errCut
		}
		bits := binary.LittleEndian.Uint32(data[1:])
		return webpStill{width: 1 + int(bits&0x3fff), height: 1 + int(bits>>14&0x3fff), kind: "VP8L", data: data}, nil
	}
	data, ok := parts.find("VP8 ")
	if !ok {
		return webpStill{}, errNoFrame
	}
	// RFC 6386, section 9.1: three bytes of tag, three of start code, two sizes.
	if len(data) < 10 || data[0]&1 != 0 {
		return webpStill{}, errCut
	}
	alpha, _ := parts.find("ALPH")
	return webpStill{
		width:  int(binary.LittleEndian.Uint16(data[6:]) & 0x3fff),
		height: int(binary.LittleEndian.Uint16(data[8:]) & 0x3fff),
		kind:   "VP8 ",
		data:   data,
		alpha:  alpha,
	}, nil
}

// memory is what the decoders allocate.
func (s webpStill) memory() int64 {
	pixels := roundUp(int64(s.width), 16) * roundUp(int64(s.height), 16)
	file := 2 * int64(len(s.data)+len(s.alpha)) // put together, and read
	if s.kind == "VP8L" {
		return file + losslessMemory(pixels, len(s.data))
	}
	memory := file + 2*pixels
	if s.alpha != nil {
		memory += pixels + losslessMemory(pixels, len(s.alpha))
	}
	return memory
}

// losslessMemory is what VP8L takes: the pixels, once more where they are
// indexes, the tiles of the transforms, and groups of Huffman trees, of which a
// hostile file can ask for a lot: each takes up to 80 KiB, of which 3 for a few
// bits of the file, and the decoder allows 2600.
func losslessMemory(pixels int64, length int) int64 {
	const groups, group, perByte = 2600, 80 << 10, 1100
	return 9*pixels + min(groups*group, perByte*int64(length))
}

// file is a WebP file of this picture alone.
func (s webpStill) file() []byte {
	body := make([]byte, 0, len(s.data)+len(s.alpha)+64)
	body = append(body, "RIFF\x00\x00\x00\x00WEBP"...)
	if s.alpha != nil {
		extended := make([]byte, webpExtended)
		extended[0] = webpAlpha
		putUint24(extended[4:], s.width-1)
		putUint24(extended[7:], s.height-1)
		body = appendChunk(body, "VP8X", extended)
		body = appendChunk(body, "ALPH", s.alpha)
	}
	body = appendChunk(body, s.kind, s.data)
	binary.LittleEndian.PutUint32(body[4:], uint32(len(body)-8)) //nolint:gosec // less than 5 MiB and a few bytes
	return body
}

func appendChunk(to []byte, kind string, data []byte) []byte {
	to = append(to, kind...)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(data))) //nolint:gosec // less than 5 MiB
	to = append(to, data...)
	if len(data)%2 == 1 {
		to = append(to, 0)
	}
	return to
}

// chunks is a run of chunks; each is padded to an even length, the last one not
// in every file.
type chunks []byte

// whole fails where the last chunk is cut.
func (c chunks) whole() error {
	for len(c) > 0 {
		_, _, rest, ok := c.next()
		if !ok {
			return errCut
		}
		c = rest
	}
	return nil
}

// find gives the first chunk of a kind.
func (c chunks) find(wanted string) ([]byte, bool) {
	for {
		kind, data, rest, ok := c.next()
		if !ok || kind == wanted {
			return data, ok
		}
		c = rest
	}
}

func (c chunks) next() (kind string, data []byte, rest chunks, ok bool) {
	if len(c) < 8 {
		return "", nil, nil, false
	}
	length := int64(binary.LittleEndian.Uint32(c[4:]))
	if length > int64(len(c)-8) {
		return "", nil, nil, false
	}
	return string(c[:4]), c[8 : 8+length], c[min(int64(len(c)), 8+length+length%2):], true
}

func uint24(data []byte) int { return int(data[0]) | int(data[1])<<8 | int(data[2])<<16 }

func putUint24(data []byte, value int) {
	data[0], data[1], data[2] = byte(value), byte(value>>8), byte(value>>16)
}
