package picture

import (
	"bytes"
	"encoding/binary"
	"image"
)

// orientation says how a picture is to be turned: the values of EXIF 2.32, tag
// 0x0112. Each names where the stored picture's first row and first column belong.
type orientation uint8

const (
	upright            orientation = 1 + iota // top, left
	mirrored                                  // top, right
	halfTurn                                  // bottom, right
	mirroredHalfTurn                          // bottom, left
	transposed                                // left, top
	quarterTurn                               // right, top: turned clockwise to be shown
	transverse                                // right, bottom
	threeQuarterTurn                          // left, bottom
	exifPrefix         = "Exif\x00\x00"
	tagOrientation     = 0x0112
	typeShort          = 3
	tiffHeader         = 8
	directoryEntry     = 12
	maxDirectoryLength = 1000
)

// orientationOf reads it from an EXIF block, with or without its prefix: a TIFF
// header and a first directory. A block that cannot be read tells nothing, and
// the picture is shown as it is stored.
func orientationOf(exif []byte) orientation {
	tiff := bytes.TrimPrefix(exif, []byte(exifPrefix))
	if len(tiff) < tiffHeader {
		return upright
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	start := order.Uint32(tiff[4:])
	if start < tiffHeader || uint64(start)+2 > uint64(len(tiff)) {
		return upright
	}
	directory := tiff[start+2:]
	entries := min(int(order.Uint16(tiff[start:])), len(directory)/directoryEntry, maxDirectoryLength)
	for i := range entries {
		entry := directory[i*directoryEntry:]
		if order.Uint16(entry) != tagOrientation {
			continue
		}
		if order.Uint16(entry[2:]) != typeShort || order.Uint32(entry[4:]) != 1 {
			return upright
		}
		if value := order.Uint16(entry[8:]); value >= uint16(upright) && value <= uint16(threeQuarterTurn) {
			return orientation(value)
		}
		return upright
	}
	return upright
}

// apply turns a picture upright.
func (o orientation) apply(from *image.RGBA) *image.RGBA {
	if o <= upright || o > threeQuarterTurn {
		return from
	}
	width, height := from.Rect.Dx(), from.Rect.Dy()
	turned := image.NewRGBA(image.Rect(0, 0, width, height))
	if o >= transposed {
		turned = image.NewRGBA(image.Rect(0, 0, height, width))
	}
	for y := range height {
		for x := range width {
			toX, toY := o.place(x, y, width, height)
			turned.SetRGBA(toX, toY, from.RGBAAt(from.Rect.Min.X+x, from.Rect.Min.Y+y))
		}
	}
	return turned
}

// place is where a stored pixel is to be shown.
func (o orientation) place(x, y, width, height int) (int, int) {
	right, bottom := width-1-x, height-1-y
	switch o {
	case mirrored:
		return right, y
	case halfTurn:
		return right, bottom
	case mirroredHalfTurn:
		return x, bottom
	case transposed:
		return y, x
	case quarterTurn:
		return bottom, x
	case transverse:
		return bottom, right
	case threeQuarterTurn:
		return y, right
	default:
		return x, y
	}
}
