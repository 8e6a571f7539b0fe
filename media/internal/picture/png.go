package picture

import (
	"encoding/binary"
	"image/png"
)

// inspectPNG reads the header and looks for orientation among the chunks
// (RFC 2083, and the PNG extensions for eXIf). Of an animation the decoder takes
// the picture that programs without animation show.
func inspectPNG(raw []byte) (plan, error) {
	const header = 8 + 8 + 13
	if len(raw) < header || string(raw[12:16]) != "IHDR" {
		return plan{}, errCut
	}
	width, height := binary.BigEndian.Uint32(raw[16:]), binary.BigEndian.Uint32(raw[20:])
	if width > 1<<31-1 || height > 1<<31-1 {
		return plan{}, errNoFrame // RFC 2083 has no larger ones
	}
	result := plan{
		width:       int(width),
		height:      int(height),
		orientation: exifOfPNG(raw[8:]),
		decode:      decoder(png.Decode).of(raw),
	}
	bytesPerPixel := int64(4)
	if depth := raw[24]; depth == 16 {
		bytesPerPixel = 8
	}
	if interlaced := raw[28] != 0; interlaced {
		bytesPerPixel *= 2 // the seven passes are pictures of their own
	}
	// Two rows of it beside the picture.
	result.memory = bytesPerPixel*int64(width)*int64(height) + 16*int64(width)
	return result, nil
}

// exifOfPNG finds the chunk eXIf.
func exifOfPNG(chunks []byte) orientation {
	for len(chunks) >= 8 {
		length := binary.BigEndian.Uint32(chunks)
		kind := string(chunks[4:8])
		if int64(length) > int64(len(chunks)-8) {
			break
		}
		if kind == "eXIf" {
			return orientationOf(chunks[8 : 8+length])
		}
		chunks = chunks[min(len(chunks), 8+int(length)+4):]
	}
	return upright
}
