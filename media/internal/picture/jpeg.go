package picture

import (
	"bytes"
	"errors"
	"image/jpeg"
)

// Markers of ITU-T T.81, table B.1.
const (
	markerFirstSOF = 0xc0
	markerLastSOF  = 0xc2
	markerRST0     = 0xd0
	markerRST7     = 0xd7
	markerEOI      = 0xd9
	markerSOS      = 0xda
	markerAPP1     = 0xe1
	markerAPP14    = 0xee
)

// maxScans bounds the scans of a progressive JPEG. Each may take as little as
// fifty bytes and still visit every block of the picture, so that 5 MiB could
// keep a core busy for minutes. Encoders make about ten.
const maxScans = 100

var (
	errCut      = errors.New("it ends in the middle")
	errNoFrame  = errors.New("it has no frame")
	errManyScan = errors.New("it has too many scans")
)

// inspectJPEG walks the segments. The walk stops where the decoder of the
// standard library would, so what it counts is what that will meet.
func inspectJPEG(raw []byte) (plan, error) {
	result := plan{orientation: upright}
	var frame []byte
	scans, progressive, adobe, exif := 0, false, false, false
	rest := raw[2:]
	for {
		marker, after, ok := nextMarker(rest)
		if !ok {
			return plan{}, errCut
		}
		if marker == markerEOI {
			break
		}
		if len(after) < 2 {
			return plan{}, errCut
		}
		length := int(after[0])<<8 | int(after[1])
		if length < 2 || length > len(after) {
			return plan{}, errCut
		}
		segment := after[2:length]
		rest = after[length:]
		switch {
		case markerFirstSOF <= marker && marker <= markerLastSOF && frame == nil:
			if len(segment) < 6 {
				return plan{}, errCut
			}
			frame, progressive = segment, marker == markerLastSOF
		case marker == markerSOS:
			if scans++; scans > maxScans {
				return plan{}, errManyScan
			}
		case marker == markerAPP1 && !exif && bytes.HasPrefix(segment, []byte(exifPrefix)):
			exif = true
			result.orientation = orientationOf(segment)
		case marker == markerAPP14:
			adobe = true
		}
	}
	if frame == nil {
		return plan{}, errNoFrame
	}
	result.height = int(frame[1])<<8 | int(frame[2])
	result.width = int(frame[3])<<8 | int(frame[4])
	result.memory = jpegMemory(result.width, result.height, frame[6:], progressive, adobe)
	result.decode = decoder(jpeg.Decode).of(raw)
	return result, nil
}

// nextMarker finds the next marker that begins a segment or ends the picture,
// passing over the data of a scan: there 0xff is followed by 0, or by a restart.
func nextMarker(data []byte) (marker byte, after []byte, found bool) {
	for {
		i := bytes.IndexByte(data, 0xff)
		if i < 0 || i+1 >= len(data) {
			return 0, nil, false
		}
		data = data[i+1:]
		switch next := data[0]; {
		case next == 0xff: // fill
		case next == 0, markerRST0 <= next && next <= markerRST7:
			data = data[1:]
		default:
			return next, data[1:], true
		}
	}
}

// jpegMemory is what the standard library's decoder allocates: the planes; for
// a progressive picture four bytes for each coefficient as well; and four bytes
// for each pixel where it may convert, from CMYK, or from RGB, which a picture
// says it is by a segment of Adobe's or by the names of its components.
func jpegMemory(width, height int, components []byte, progressive, adobe bool) int64 {
	count := len(components) / 3
	mostH, mostV := int64(1), int64(1)
	for i := range count {
		mostH = max(mostH, int64(components[3*i+1]>>4))
		mostV = max(mostV, int64(components[3*i+1]&0xf))
	}
	// A component has whole blocks of 8 × 8, for whole units of the largest.
	padded := roundUp(int64(width), 8*mostH) * roundUp(int64(height), 8*mostV)
	samples := int64(0)
	for i := range count {
		samples += padded * int64(components[3*i+1]>>4) * int64(components[3*i+1]&0xf) / (mostH * mostV)
	}
	memory := samples
	if progressive {
		memory += 4 * samples
	}
	if count > 3 || adobe || count == 3 && components[0] == 'R' {
		memory += 4 * int64(width) * int64(height)
	}
	return memory
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }
